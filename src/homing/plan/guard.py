"""Publishing is suspicious (law 7): the policies that hold changes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from homing.model.address import publishable, reach_of
from homing.model.name import Name
from homing.plan.diff import NameChange, Plan


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """What the guard goes by.

    ``public`` names the providers that the world reads. ``published`` counts the names published at each provider
    before the change. ``holds`` are reasons from outside (lockouts, pauses) by provider and name. ``accept`` is the
    plan hash a person approved; ``first_seen`` is when each held plan was first seen (Unix time, seconds), and an
    equal plan seen again ``second_look`` seconds later passes.
    """

    public: frozenset[str] = frozenset()
    published: Mapping[str, int] = field(default_factory=dict[str, int])
    holds: Mapping[tuple[str, Name], str] = field(default_factory=dict[tuple[str, Name], str])
    accept: str = ""
    first_seen: Mapping[str, float] = field(default_factory=dict[str, float])
    second_look: float = 600.0
    max_removed: float = 0.3
    """The share of a provider's names that inferred removals may take at once."""
    from_names: int = 10
    """Below this many published names, removals are not judged."""


def guard(plan: Plan, policy: GuardPolicy, now: float) -> Plan:
    """The plan with a reason on every change that must wait. Reasons are sentences for people. Never adds a change."""
    mass = {} if _approved(plan, policy, now) else _mass_removals(plan, policy)
    return Plan(tuple(replace(item, held=_reason(item, policy, mass)) for item in plan.changes))


def _reason(item: NameChange, policy: GuardPolicy, mass: Mapping[str, str]) -> str:
    outside = policy.holds.get((item.provider, item.name))
    if outside:
        return outside
    if item.provider in policy.public:
        for change in item.changes:
            for address in change.after.addresses if change.after else ():
                if not publishable(address, item.accepted):
                    return (
                        f"{address} is not globally reachable ({reach_of(address).value}); "
                        f"set allow_private = true (allowPrivate in a Domain) for {item.name.text} "
                        "if the world should see it"
                    )
    return mass.get(item.provider, "") if item.inferred else ""


def _mass_removals(plan: Plan, policy: GuardPolicy) -> dict[str, str]:
    removed: dict[str, int] = {}
    for item in plan.changes:
        if item.inferred and item.removes_name:
            removed[item.provider] = removed.get(item.provider, 0) + 1
    held: dict[str, str] = {}
    for provider, count in removed.items():
        total = policy.published.get(provider, 0)
        if total >= policy.from_names and (count >= total or count > policy.max_removed * total):
            held[provider] = (
                f"would remove {count} of {total} names at {provider}; "
                f"approve with: homing apply --accept {plan.hash}, or wait for an equal second look"
            )
    return held


def _approved(plan: Plan, policy: GuardPolicy, now: float) -> bool:
    seen = policy.first_seen.get(plan.hash)
    return policy.accept == plan.hash or (seen is not None and now - seen >= policy.second_look)
