"""The health checks that zones ask for: which addresses are checked, and what each zone knows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import chain, islice

from homing.checks import Check, Checker, Probe, Target
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.kube.kinds.site import Site
from homing.model.address import Address, Network
from homing.model.health import Health
from homing.model.name import Name
from homing.operator.cluster_watch import ClusterWatch
from homing.operator.site_views import site_addresses, site_of

log = get_logger("checks")

LOOK = 1.0
"""Seconds between two looks at which addresses there are to check: what changes meanwhile is followed at once."""

OUTSIDE = "-"
"""In place of the name of a node: this does not run on any."""

BEFORE = "as it was before"
"""Why an address is left out that was not found failing since this leader, or this check, began."""

OWN_BITS = {4: 32, 6: 64}
"""How much of an address of the own Site is the own Site, by IP version: IPv6 gives each Site a network."""

MakeChecker = Callable[[Callable[[Address], None]], Checker]
"""Makes a Checker that tells of each address whose health turned."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a zone knows by its check."""

    probe: Probe
    addresses: int = 0
    """How many are checked."""
    unhealthy: Mapping[Address, str] = field(default_factory=dict[Address, str])
    """Those that fail or failed too often of late, each with why, in order."""
    obstacle: str = ""
    """Why nothing can be known of some of them; for people."""
    began: bool = True
    """Whether they are checked yet; until then the unhealthy are those that the last leader told."""


class ZoneChecks:
    """The checks of all zones. ``want`` them, then ``run``; the watch goes by ``health``.

    ``turned`` is told of a zone of which something else is known. ``node`` is where this runs: addresses of that node
    and of its Site are not checked.
    """

    def __init__(
        self,
        make: MakeChecker,
        *,
        node: str,
        sites: Callable[[], Iterable[Site]],
        turned: Callable[[Name], None],
        clock: Clock,
    ) -> None:
        self._checker = make(self._changed)
        self._node = node
        self._sites = sites
        self._turned = turned
        self._clock = clock
        self._watch: ClusterWatch | None = None
        self._checks: dict[Name, Check] = {}
        self._believed: dict[Name, frozenset[Address]] = {}
        """What the last leader found failing, until the zone's addresses are followed."""
        self._followed: dict[Name, tuple[Check, frozenset[Address]]] = {}
        self._targets: dict[Name, dict[Address, Target]] = {}
        self._counts: dict[Name, int] = {}
        self._own: frozenset[Network] = frozenset()
        self._told: dict[Name, Checked] = {}
        self._lost = False

    def want(self, origin: Name, check: Check | None, failing: Iterable[Address] = ()) -> None:
        """Check the addresses of a zone like this from now on; None: not at all.

        ``failing`` are those that were found so before: they count at the first call for a zone.
        """
        if check is None:
            self._checks.pop(origin, None)
            self._believed.pop(origin, None)
            self._told.pop(origin, None)
            return
        if origin not in self._checks:
            self._believed[origin] = frozenset(failing)
        self._checks[origin] = check

    def health(self, origin: Name, address: Address) -> Health:
        """What a zone knows of an address; HEALTHY where it does not check it."""
        check = self._checks.get(origin)
        if check is None:
            return Health.HEALTHY
        if address in self._believed.get(origin, ()):
            return Health.FAILING
        return self._checker.health(Target(address, check))

    def checked(self, origin: Name) -> Checked | None:
        """What a zone knows; None where nothing is checked."""
        check, followed = self._checks.get(origin), self._followed.get(origin)
        if check is None:
            return None
        if followed is None:  # what the last leader told stays told
            told = sorted(self._believed.get(origin, ()), key=_order)
            return Checked(check.probe, unhealthy=dict.fromkeys(told, BEFORE), began=False)
        found = [one for one in self._checker.unhealthy if one.check == check and one.address in followed[1]]
        found.sort(key=lambda one: _order(one.address))
        unhealthy = {one.address: self._checker.why(one) or BEFORE for one in found}
        return Checked(check.probe, self._counts.get(origin, 0), unhealthy, self._checker.obstacle(check))

    async def run(self, watch: ClusterWatch) -> None:
        """Check until cancelled."""
        self._watch = watch
        try:
            while True:
                self._look(watch)
                await self._clock.sleep(LOOK)
        finally:
            self._watch = None
            await self._checker.close()

    def _look(self, watch: ClusterWatch) -> None:
        wanted = {
            origin: (check, watch.addresses(origin)) if watch.is_ready(origin) else (check, self._followed[origin][1])
            for origin, check in self._checks.items()
            if watch.is_ready(origin) or origin in self._followed
        }
        own = self._own_networks(watch) if wanted else frozenset[Network]()
        if (wanted, own) != (self._followed, self._own):
            self._follow(watch, wanted, own)
        for origin in self._checks:
            now = self.checked(origin)
            if now is not None and now != self._told.get(origin):
                self._told[origin] = now
                self._turned(origin)

    def _follow(
        self, watch: ClusterWatch, wanted: dict[Name, tuple[Check, frozenset[Address]]], own: frozenset[Network]
    ) -> None:
        self._followed, self._own = wanted, own
        targets = {origin: self._targets_of(origin, *asked) for origin, asked in wanted.items()}
        self._targets = targets
        believed = {origin: self._believed.pop(origin) for origin in wanted if origin in self._believed}
        failing = {Target(address, wanted[origin][0]) for origin, found in believed.items() for address in found}
        before = {target.address for target in (*self._checker.unhealthy, *failing)}
        every = chain.from_iterable(found.values() for found in targets.values())
        self._checker.follow(every, tuple(own), failing=failing)
        self._counts = {origin: sum(map(self._checker.follows, found.values())) for origin, found in targets.items()}
        for address in before | {target.address for target in self._checker.unhealthy}:
            watch.checked(address)  # a zone may check it no more, or another way, or only now

    def _targets_of(self, origin: Name, check: Check, addresses: frozenset[Address]) -> dict[Address, Target]:
        """Those that stay are the same objects, of which thousands are quickly compared."""
        known = self._targets.get(origin, {})
        if any(target.check != check for target in islice(known.values(), 1)):
            known = {}
        return {address: known.get(address) or Target(address, check) for address in addresses}

    def _changed(self, address: Address) -> None:
        if self._watch is None:
            return
        self._watch.checked(address)
        for origin, (_, addresses) in self._followed.items():
            if address in addresses:
                self._turned(origin)

    def _own_networks(self, watch: ClusterWatch) -> frozenset[Network]:
        """From inside, the own Site is reached by hairpin NAT or not at all: what a check says of it is no news."""
        if self._node == OUTSIDE:
            return frozenset()
        node = watch.nodes.get(("", self._node))
        if node is None:
            if not self._lost:
                remedy = f"give the name of the node by --node-name or NODE_NAME, or {OUTSIDE} outside of the cluster"
                log.warning("no such node: addresses of Sites are not checked", node=self._node, remedy=remedy)
            self._lost = True
            return _networks(address for site in self._sites() for address in site_addresses(site).values())
        self._lost = False
        site = site_of(node.metadata.labels, self._sites())
        own = watch.addresses_of(self._node)
        return _networks(own if site is None else own | set(site_addresses(site).values()))


def _networks(addresses: Iterable[Address]) -> frozenset[Network]:
    return frozenset(ip_network(f"{address}/{OWN_BITS[address.version]}", strict=False) for address in addresses)


def _order(address: Address) -> tuple[int, bytes]:
    return address.version, address.packed
