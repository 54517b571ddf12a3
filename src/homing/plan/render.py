"""A plan as text for people and as data for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from homing.model.rrset import RRset, type_name
from homing.plan.diff import Action, Change, NameChange, Plan

_SIGNS = {Action.CREATE: "+", Action.REPLACE: "~", Action.DELETE: "-"}


def plans_as_text(plans: Iterable[Plan], *, done: bool = False, in_sync: bool = True) -> str:
    """A line a change, under each provider and the hash of its plan, with the reason behind what is held.

    ``in_sync`` tells whether a plan without changes means that all is well.
    """
    plans = [plan for plan in plans if plan.changes]
    if not plans:
        return "Nothing to change: every name holds what it should." if in_sync else "Nothing can be changed now."
    lines: list[str] = []
    for plan in plans:
        lines.append(f"{plan.changes[0].provider} (plan {plan.hash}):")
        for item in plan.changes:
            lines += [f"  {_SIGNS[change.action]} {item.name.text} {change}" for change in item.changes]
            if item.held:
                lines.append(f"    held: {item.held}")
    passing, held = sum(len(plan.passing) for plan in plans), sum(len(plan.held) for plan in plans)
    lines.append(
        f"{passing} {'name' if passing == 1 else 'names'} {'changed or tried' if done else 'to change'}, {held} held."
    )
    return "\n".join(lines)


def plans_as_data(plans: Iterable[Plan]) -> list[dict[str, Any]]:
    """The plans as plain data; TTLs in seconds."""
    return [
        {"provider": plan.changes[0].provider, "hash": plan.hash, "changes": [_name(item) for item in plan.changes]}
        for plan in plans
        if plan.changes
    ]


def _name(item: NameChange) -> dict[str, Any]:
    return {
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
