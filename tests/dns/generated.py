"""Zones made by hypothesis: every kind of name that turns a look-up another way, close together so that they meet."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

LABELS = ("a", "b", "c", "d", "*", r"x\.y", r"\000", r"sp\032ace", "Mixed", "_srv", r"\@", r"\"q", r"\255", "l" * 63)
LONG = ".".join(["t" * 63, "u" * 63, "v" * 40])
OUTSIDE = "outside.invalid."

Owner = tuple[str, ...]

owners = st.lists(st.sampled_from(LABELS[:5] * 3 + LABELS), min_size=1, max_size=4).map(tuple)
targets = st.one_of(owners.map(".".join), owners.map(".".join), st.sampled_from(["@", OUTSIDE, f"{LONG}.a"]))
numbers = st.integers(1, 250)
data = st.one_of(
    numbers.map(lambda n: ("A", f"192.0.2.{n}")),
    numbers.map(lambda n: ("AAAA", f"2001:db8::{n:x}")),
    numbers.map(lambda n: ("TXT", f'"text {n}" "semi;colon" "quote\\"d \\200"')),
    st.just(("TXT", " ".join(['"' + "t" * 200 + '"'] * 4))),
    st.tuples(numbers, targets).map(lambda found: ("MX", f"{found[0]} {found[1]}")),
    st.tuples(numbers, targets).map(lambda found: ("SRV", f"{found[0]} 0 443 {found[1]}")),
    numbers.map(lambda n: ("TYPE65400", rf"\# 3 0102{n:02x}")),
)
records = st.one_of(
    st.tuples(owners, data),
    st.tuples(owners, data),
    st.tuples(owners, targets.map(lambda target: ("CNAME", target))),
    st.tuples(owners, targets.map(lambda target: ("DNAME", target))),
    st.tuples(owners, targets.map(lambda target: ("NS", target))),
    st.tuples(owners, st.just(("NS", "ns.self"))),
    st.tuples(owners, st.just(("DS", "12345 13 2 " + "ab" * 32))),
)


@dataclass(frozen=True, slots=True)
class Generated:
    """A zone in presentation form; owners are relative to it."""

    origin: str
    text: str
    owners: frozenset[Owner]


def generate(count: int, start: int) -> list[Generated]:
    """So many zones ``z1.test`` and on; another ``start`` gives others."""
    found: list[Generated] = []

    @seed(start)
    @settings(
        max_examples=3 * count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(records, min_size=40, max_size=60))
    def gather(drawn: list[tuple[Owner, tuple[str, str]]]) -> None:
        found.append(_build(f"z{len(found) + 1}.test", drawn))

    gather()
    return found[-count:]  # the first are the plainest


def _build(origin: str, drawn: list[tuple[Owner, tuple[str, str]]]) -> Generated:
    """A zone of what is drawn, without what contradicts itself or what one of the peers does not load.

    Knot loads nothing below a DNAME (RFC 6672, section 2.4), BIND no NS or DNAME at a wildcard.
    """
    kinds: dict[Owner, dict[str, list[str]]] = {}
    for owner, (kind, value) in drawn:
        key = tuple(label.lower() for label in owner)
        if kind == "NS" and value == "ns.self":
            text = ".".join(("ns", *owner))
            glue = ("ns", *key)
            if "CNAME" not in kinds.get(glue, {}):
                kinds.setdefault(glue, {})["A"] = ["192.0.2.53"]
        else:
            text = value
        here = kinds.setdefault(key, {})
        if kind in {"NS", "DNAME"} and key[0] == "*":
            continue
        if "CNAME" in here or (kind == "CNAME" and here) or (kind == "DNAME" and kind in here):
            continue
        if {kind, *here} >= {"NS", "DNAME"}:
            continue
        values = here.setdefault(kind, [])
        if text not in values:
            values.append(text)
    lines = [f"$ORIGIN {origin}.", "$TTL 300", "@ SOA ns hostmaster 1 3600 900 86400 60", "@ NS ns", "ns A 192.0.2.1"]
    kinds = {owner: here for owner, here in kinds.items() if here}
    dnames = {owner for owner, here in kinds.items() if "DNAME" in here}
    kept: set[Owner] = {("ns",)}
    for owner, here in kinds.items():
        if any(owner[start:] in dnames for start in range(1, len(owner))) or owner == ("ns",):
            continue
        for kind, values in here.items():
            if kind == "DS" and "NS" not in here:
                continue
            lines += [f"{'.'.join(owner)} {kind} {value}" for value in values]
            kept.add(owner)
    return Generated(origin, "\n".join(lines) + "\n", frozenset(kept))
