"""A plan as text for people and as data for programs. Pure."""

from __future__ import annotations

from typing import Any

from homing.model.rrset import RRset, type_name
from homing.plan.diff import Action, Change, NameChange, Plan

_SIGNS = {Action.CREATE: "+", Action.REPLACE: "~", Action.DELETE: "-"}


def plan_as_text(plan: Plan, *, done: bool = False) -> str:
    """A line a change, grouped by provider, with the reason behind what is held and the plan's hash below."""
    if not plan.changes:
        return "Nothing to change: every name holds what it should."
    lines: list[str] = []
    provider = ""
    for item in plan.changes:
        if item.provider != provider:
            provider = item.provider
            lines.append(f"{provider}:")
        lines += [f"  {_SIGNS[change.action]} {item.name.text} {change}" for change in item.changes]
        if item.held:
            lines.append(f"    held: {item.held}")
    passing, held = len(plan.passing), len(plan.held)
    verb = "tried" if done else "to change"
    lines.append(f"Plan {plan.hash}: {passing} {'name' if passing == 1 else 'names'} {verb}, {held} held.")
    return "\n".join(lines)


def plan_as_data(plan: Plan) -> dict[str, Any]:
    """The plan as plain data; TTLs in seconds."""
    return {"hash": plan.hash, "changes": [_name(item) for item in plan.changes]}


def _name(item: NameChange) -> dict[str, Any]:
    return {
        "provider": item.provider,
        "name": item.name.text,
        "held": item.held or None,
        "changes": [_change(change) for change in item.changes],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "action": change.action.value,
        "type": type_name(change.type),
        "before": _rrset(change.before),
        "after": _rrset(change.after),
    }


def _rrset(rrset: RRset | None) -> dict[str, Any] | None:
    return {"ttl": rrset.ttl, "values": list(rrset.values)} if rrset else None
