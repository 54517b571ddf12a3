"""What is right to answer about a changing cluster, by the specification (C1, C2, C4, C5) and the times of the changes.

Nothing of Homing is used here. A change is known by the moments before its request and after its answer, and by the
revision that the API server gave it. Somewhere between those moments it came true, so an answer may show each view from
the moment its last change was asked for until the lag limit after the next one was acknowledged, and no other. (The
churn run takes the moment when a plain watcher was told of it, where that is later: tests/scale/watching.py.)
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Generic, TypeVar

from tests.scale.messages import NOERROR, NXDOMAIN, A, Answer

LAG_LIMIT = 1.0
"""Seconds that a change which the API server acknowledged may be unseen in the answers."""

T = TypeVar("T")

View = frozenset[bytes] | None
"""The packed addresses of a name; None for a name that nobody lists."""

_SIZES = {"v4": 4, "v6": 16}


@dataclass(frozen=True, slots=True)
class Node:
    """What counts of a node: its two annotations as written, whether it is Ready, whether it is being deleted.

    One that is being deleted lists nothing any more, as the Go node DNS sees it.
    """

    areas: str
    ips: str
    ready: bool = True
    ending: bool = False

    @property
    def listed(self) -> frozenset[str]:
        """The areas it is in."""
        return frozenset() if self.ending else areas_of(self.areas)

    @property
    def counted(self) -> frozenset[bytes]:
        """The addresses that it gives to answers."""
        return addresses_of(self.ips) if self.ready and not self.ending else frozenset()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint's node (empty for none) and its conditions; None for one that is not given."""

    node: str
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """An EndpointSlice of a Service, which is ``name.namespace``."""

    service: str
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """A cluster: nodes and slices by name, and the Services (``name.namespace``) that want a name."""

    nodes: Mapping[str, Node]
    slices: Mapping[str, Slice]
    services: frozenset[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One object is so from a revision on: a Node, a Slice, or whether the Service wants a name. Seconds, monotonic."""

    revision: int
    sent: float
    acked: float
    name: str
    now: Node | Slice | bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """``late`` is how many seconds ago the view that was answered was over, at least; also of a wrong answer, where 0
    means that it was never right."""

    right: bool
    late: float = 0.0


class Track(Generic[T]):
    """The states of one thing in their order, and when each may be seen."""

    def __init__(self, first: T) -> None:
        self.states = [first]
        self._from = [float("-inf")]
        self._acked = [float("-inf")]
        self._until: list[float] = []

    def add(self, state: T, change: Change) -> None:
        """The next state, which a change led to; who has seen it has seen all before."""
        if state != self.states[-1]:
            self.states.append(state)
            self._from.append(max(self._from[-1], change.sent))
            self._acked.append(change.acked)
            self._until = []

    def seen(self, begin: float, end: float, lag: float) -> Iterator[tuple[T, float]]:
        """What may be seen in these seconds, each state with how late that would be."""
        if not self._until:
            self._until = [float("inf")]
            for acked in reversed(self._acked[1:]):
                self._until.append(min(self._until[-1], acked))
            self._until.reverse()
        for place in range(bisect_left(self._until, begin - lag), len(self.states)):
            if self._from[place] > end:
                return
            yield self.states[place], max(0.0, begin - self._until[place])


class Oracle:
    """Judges answers about a cluster that was in a state and then changed."""

    def __init__(self, first: State, changes: Iterable[Change], *, lag_limit: float = LAG_LIMIT) -> None:
        self._lag_limit = lag_limit
        self._ordered = sorted(changes, key=lambda change: change.revision)
        self._areas = self._follow_areas(first.nodes)
        self._services = self._follow_services(first)

    def judge(self, name: str, rtype: int, answer: Answer, begin: float, end: float, *, slack: float = 0.0) -> Verdict:
        """Whether an answer is right for a name (relative to the zone) that was asked and answered at these moments.

        ``slack`` seconds are added to the lag limit.
        """
        family, _, rest = name.partition(".")
        if not rest or family not in _SIZES:
            family, rest = "", name
        for lag_limit in (self._lag_limit + slack, float("inf")):
            found = [
                late
                for view, late in self._views(rest, begin, end, lag_limit)
                if (answer.rcode, answer.addresses) == _answer(view, family, rtype)
            ]
            if found:
                return Verdict(lag_limit < float("inf"), min(found))
        return Verdict(False)

    def _views(self, name: str, begin: float, end: float, lag_limit: float) -> Iterator[tuple[View, float]]:
        if "." not in name:
            track = self._areas.get(name)
            yield from track.seen(begin, end, lag_limit) if track else iter(((None, 0.0),))
            return
        if name not in self._services:
            yield None, 0.0
            return
        moment = begin, end, lag_limit
        offered, slices, nodes = self._services[name]
        for wanted, late in offered.seen(*moment):
            for listed, listed_late in slices.seen(*moment):
                for ready, ready_late in nodes.seen(*moment):
                    yield _service(listed, ready) if wanted else None, max(late, listed_late, ready_late)

    def _follow_areas(self, first: Mapping[str, Node]) -> dict[str, Track[View]]:
        members: dict[str, dict[str, Node]] = {}
        nodes = dict(first)
        for name, node in nodes.items():
            for area in node.listed:
                members.setdefault(area, {})[name] = node
        tracks: dict[str, Track[View]] = {area: Track(_area(found)) for area, found in members.items()}
        for change in self._ordered:
            if isinstance(change.now, Node):
                before, after = nodes.get(change.name), change.now
                nodes[change.name] = after
                left, held = before.listed if before else frozenset[str](), after.listed
                for area in left - held:
                    del members[area][change.name]
                for area in held:
                    members.setdefault(area, {})[change.name] = after
                for area in left | held:
                    tracks.setdefault(area, Track(None)).add(_area(members[area]), change)
        return tracks

    def _follow_services(self, first: State) -> dict[str, tuple[Track[bool], Track[_Slices], Track[_Ready]]]:
        slices, hosting = dict(first.slices), dict[str, set[str]]()
        of_service: dict[str, dict[str, Slice]] = {}
        for name, one in slices.items():
            of_service.setdefault(one.service, {})[name] = one
        changed = [change.now for change in self._ordered]
        for one in (*slices.values(), *(now for now in changed if isinstance(now, Slice))):
            for endpoint in one.endpoints:
                hosting.setdefault(endpoint.node, set()).add(one.service)
        names = first.services | of_service.keys()
        ready: dict[str, dict[str, frozenset[bytes]]] = {name: {} for name in names}
        for node, services in hosting.items():
            for service in services:
                ready[service][node] = first.nodes[node].counted if node else frozenset()
        offered = {name: Track(name in first.services) for name in names}
        listed: dict[str, Track[_Slices]] = {name: Track(tuple(of_service.get(name, {}).values())) for name in names}
        alive: dict[str, Track[_Ready]] = {name: Track(dict(ready[name])) for name in names}
        for change in self._ordered:
            if isinstance(change.now, Node):
                for service in hosting.get(change.name, ()):
                    ready[service][change.name] = change.now.counted
                    alive[service].add(dict(ready[service]), change)
            elif isinstance(change.now, Slice):
                of_service.setdefault(change.now.service, {})[change.name] = change.now
                listed[change.now.service].add(tuple(of_service[change.now.service].values()), change)
            else:
                offered[change.name].add(change.now, change)
        return {name: (offered[name], listed[name], alive[name]) for name in names}


_Slices = tuple[Slice, ...]
_Ready = Mapping[str, frozenset[bytes]]


@lru_cache(20_000)
def areas_of(text: str) -> frozenset[str]:
    """The areas that an annotation lists; what is no label is left out."""
    words = (word.strip().lower() for word in text.split(","))
    return frozenset(word for word in words if len(word) <= 63 and re.fullmatch("[a-z0-9]([a-z0-9_-]*[a-z0-9])?", word))


@lru_cache(20_000)
def addresses_of(text: str) -> frozenset[bytes]:
    """The packed addresses that an annotation lists; what is none is left out."""
    return frozenset(found.packed for found in map(_address, text.split(",")) if found)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    return (found.version == 6 and found.ipv4_mapped) or found


def _area(members: Mapping[str, Node]) -> View:
    return frozenset[bytes]().union(*(node.counted for node in members.values())) if members else None


def _service(slices: _Slices, ready: _Ready) -> View:
    endpoints = [endpoint for one in slices for endpoint in one.endpoints if endpoint.node]
    hosts = {endpoint.node for endpoint in endpoints if endpoint.ready is not False}
    hosts = hosts or {endpoint.node for endpoint in endpoints if endpoint.serving and endpoint.terminating}
    return frozenset[bytes]().union(*(ready[host] for host in hosts))


def _answer(view: View, family: str, rtype: int) -> tuple[int, frozenset[bytes]]:
    """The code and the addresses with which a view is answered."""
    size = 4 if rtype == A else 16
    if view is None:
        return NXDOMAIN, frozenset()
    if family and _SIZES[family] != size:
        return NOERROR, frozenset()
    return NOERROR, frozenset(each for each in view if len(each) == size)
