"""The names that the nodes and Services of a cluster have in a zone, kept up by what changes. Pure.

``home`` is an area, ``git.forge`` the Service ``git`` of namespace ``forge``, ``n1`` a node:

| name | holds |
|---|---|
| home.ZONE | the addresses of the ready nodes that list area home |
| git.forge.ZONE | the addresses of the ready nodes that host a ready endpoint of the Service |
| v4.NAME, v6.NAME | those of one family; NAME is an area or a Service |
| *.NAME | the same as NAME, when the zone says so |
| n1.nodes.ZONE | the addresses of a node, when the zone says so |
| _PORT._PROTOCOL.git.forge.ZONE | SRV for a named port, when the zone says so |

A name that is known and has no address owns a TXT record, so that it exists for secondaries too. Of two that claim a
name the area has it before the Service, the Service before the node (``v4.forge`` may be the IPv4 side of area forge,
or Service v4 of namespace forge).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from operator import itemgetter
from typing import TypeVar

from homing.errors import ModelError
from homing.model.address import Address, Family
from homing.model.health import Health
from homing.model.name import Name
from homing.model.rrset import ADDRESS_TYPES, RRset, RRType, txt_rdata, type_name
from homing.records.cluster_views import Hosts, Key, Member, Naming, Offer
from homing.records.pool import MAX_ADDRESSES, Packed, Pool

Changes = dict[tuple[Name, int], RRset | None]
"""What a name holds of a type from now on; None for nothing."""

SRV = 33
"""The type of SRV records (RFC 2782)."""

MARK = txt_rdata(b"homing: known, and without an address now")
"""What a name without addresses holds."""

_ALL = frozenset(ADDRESS_TYPES.values())
_FAMILY_LABELS: Mapping[bytes, frozenset[int]] = {
    b"v4": frozenset((ADDRESS_TYPES[Family.V4],)),
    b"v6": frozenset((ADDRESS_TYPES[Family.V6],)),
}
_TYPES = (_ALL, *_FAMILY_LABELS.values(), _ALL)
"""The types of addresses that the names of an area or a Service may hold: its own, of each family, the wildcard."""

_Owner = tuple[int, str, str]
"""Kind, namespace and name; of two the lesser has a name."""

K = TypeVar("K")

_AREA, _SERVICE, _NODE = range(3)

Held = tuple[RRset, ...]
"""What an owner says a name holds, of each type at most one; there are thousands, and a tuple is small."""


class ClusterRecords:
    """What a zone holds of a cluster. Each call gives what it changes; None as the view means that it is gone.

    ``tell`` is told, for people, of what can have no name, or not all of its addresses.
    """

    def __init__(self, naming: Naming, tell: Callable[[str], None] = lambda _: None) -> None:
        self._naming = naming
        self._tell = tell
        self._nodes: dict[str, Member] = {}
        self._packed: dict[str, tuple[Packed, ...]] = {}
        self._sites: dict[str, tuple[Address, ...]] = {}
        self._of_site: dict[str, set[str]] = {}
        self._with_address: dict[bytes, set[str]] = {}
        self._listing: dict[str, set[str]] = {}
        self._offers: dict[Key, Offer] = {}
        self._slices: dict[Key, Hosts] = {}
        self._slices_of: dict[Key, dict[Key, Hosts]] = {}
        self._hosting: dict[str, Counter[Key]] = {}
        self._pools: dict[_Owner, Pool] = {}
        self._names: dict[_Owner, tuple[Name, ...]] = {}
        """In the order of ``_TYPES``."""
        self._ports: dict[Key, tuple[Name, ...]] = {}
        self._claims: dict[Name, tuple[tuple[_Owner, Held], ...]] = {}
        """Who claims a name, whoever has it first; nearly always one alone."""
        self._unhealthy: dict[bytes, Health] = {}
        self._overfull: set[_Owner] = set()
        """Those of which was told that they have too many addresses."""
        self.revision = 0
        """Another one when ``answerable`` addresses may be others."""

    def rrsets(self) -> Iterator[RRset]:
        """All that the zone holds of the cluster."""
        for claims in self._claims.values():
            yield from claims[0][1]

    def addresses(self) -> Iterator[Address]:
        """The addresses of all nodes."""
        return (ip_address(data) for data in self._with_address)

    def answerable(self) -> Iterator[Address]:
        """The addresses of nodes that a name has, or would have if they were ready: those worth a check."""
        for data, nodes in self._with_address.items():
            if any(True for node in nodes for _ in self._owners(node)):
                yield ip_address(data)

    def addresses_of(self, node: str) -> Iterator[Address]:
        """The addresses of a node."""
        return (ip_address(data) for _, data in self._packed.get(node, ()))

    def __len__(self) -> int:
        """How many names that are."""
        return len(self._claims)

    def node(self, name: str, view: Member | None) -> Changes:
        """A node is so now."""
        turn = _Turn()
        before = self._nodes.get(name)
        if view == before:
            return self._done(turn)
        self.revision += 1
        site_before, site = (before.site if before else None), (view.site if view else None)
        if site_before != site:
            if site_before is not None:
                _discard(self._of_site, site_before, name)
            if site is not None:
                self._of_site.setdefault(site, set()).add(name)
        if view is None:
            del self._nodes[name]
        else:
            self._nodes[name] = view
        self._resolve(name, view)
        old, new = before.areas if before else frozenset[str](), view.areas if view else frozenset[str]()
        for area in old - new:
            if not _discard(self._listing, area, name):
                self._close((_AREA, "", area), turn)
            elif self._pools[_AREA, "", area].drop(name):
                turn.shown[(_AREA, "", area)] = None
        for area in sorted(new):
            self._listing.setdefault(area, set()).add(name)
        self._touch(name, turn)
        host = (_NODE, "", name)
        if view is None and host in self._pools:
            self._close(host, turn)
        return self._done(turn)

    def site(self, name: str, addresses: Iterable[Address] | None) -> Changes:
        """A Site has these addresses now."""
        turn = _Turn()
        before, after = self._sites.get(name, ()), tuple(addresses or ())
        if before != after:
            self.revision += 1
            self._sites[name] = after
            for node in sorted(self._of_site.get(name, ())):
                self._resolve(node, self._nodes[node])
                self._touch(node, turn)
        return self._done(turn)

    def service(self, key: Key, view: Offer | None) -> Changes:
        """A Service wants a name, or none."""
        turn = _Turn()
        before = self._offers.get(key)
        if view == before:
            return self._done(turn)
        self.revision += 1
        owner = (_SERVICE, *key)
        if view is None:
            del self._offers[key]
            self._close(owner, turn)
        else:
            self._offers[key] = view
            if before is None:
                self._open(owner, turn)
                self._host(key, turn)
        self._show_ports(key, view, turn)
        return self._done(turn)

    def endpoint_slice(self, key: Key, view: Hosts | None) -> Changes:
        """An EndpointSlice is so now."""
        turn = _Turn()
        before = self._slices.get(key)
        if view == before:
            return self._done(turn)
        self.revision += 1
        if before is not None:
            del self._slices[key]
            slices = self._slices_of[before.service]
            del slices[key]
            if not slices:
                del self._slices_of[before.service]
            for node in before.ready | before.serving:
                counts = self._hosting[node]
                counts[before.service] -= 1
                if not counts[before.service]:
                    del counts[before.service]
                if not counts:
                    del self._hosting[node]
        if view is not None:
            self._slices[key] = view
            self._slices_of.setdefault(view.service, {})[key] = view
            for node in view.ready | view.serving:
                self._hosting.setdefault(node, Counter())[view.service] += 1
        for service in {one.service for one in (before, view) if one is not None}:
            self._host(service, turn)
        return self._done(turn)

    def checked(self, address: Address, health: Health) -> Changes:
        """This is known of an address now, by a check."""
        turn = _Turn()
        if health is self._unhealthy.get(address.packed, Health.HEALTHY):
            return self._done(turn)
        if health is Health.HEALTHY:
            del self._unhealthy[address.packed]
        else:
            self._unhealthy[address.packed] = health
        shown = {owner for node in self._with_address.get(address.packed, ()) for owner in self._owners(node)}
        turn.shown |= dict.fromkeys(sorted(shown))
        return self._done(turn)

    def _owners(self, node: str) -> Iterator[_Owner]:
        """Who may have the addresses of a node."""
        yield from ((_AREA, "", area) for area in self._nodes[node].areas)
        yield from ((_SERVICE, *key) for key in self._hosting.get(node, ()) if key in self._offers)
        if self._naming.node_names:
            yield (_NODE, "", node)

    def _resolve(self, node: str, view: Member | None) -> None:
        """Find the addresses of a node out anew."""
        found: dict[Address, None] = {}
        if view is not None:
            found = dict.fromkeys(view.addresses)
            if view.site is not None:
                of_site = self._sites.get(view.site, ())
                families = {address.version for address in of_site}
                found |= dict.fromkeys(of_site)
                found |= dict.fromkeys(address for address in view.external if address.version not in families)
        for _, data in self._packed.pop(node, ()):
            _discard(self._with_address, data, node)
        if found:
            self._packed[node] = tuple((ADDRESS_TYPES[Family(each.version)], each.packed) for each in found)
            for each in found:
                self._with_address.setdefault(each.packed, set()).add(node)

    def _touch(self, node: str, turn: _Turn) -> None:
        """A node changed: so does what it is part of."""
        view = self._nodes.get(node)
        addresses = self._packed.get(node, ())
        counted = addresses if view is not None and view.ready else ()
        if view is not None:
            for area in sorted(view.areas):
                owner = (_AREA, "", area)
                if owner not in self._pools:
                    self._open(owner, turn)
                if self._pools[owner].hold(node, counted):
                    turn.shown[owner] = None
            if self._naming.node_names:
                host = (_NODE, "", node)
                if host not in self._pools:
                    self._open(host, turn)
                if self._pools[host].hold(node, addresses if self._naming.keep_not_ready else counted):
                    turn.shown[host] = None
        for key in sorted(self._hosting.get(node, ())):
            pool = self._pools.get((_SERVICE, *key))
            if pool is not None and node in pool.members and pool.hold(node, counted):
                turn.shown[(_SERVICE, *key)] = None

    def _host(self, key: Key, turn: _Turn) -> None:
        """The nodes of a Service changed: those with a ready endpoint, else those that serve while ending."""
        pool = self._pools.get((_SERVICE, *key))
        if pool is None:
            return
        slices = self._slices_of.get(key, {}).values()
        hosts = {node for one in slices for node in one.ready} or {node for one in slices for node in one.serving}
        changed = False
        for node in set(pool.members) - hosts:
            changed |= pool.drop(node)
        for node in hosts - set(pool.members):
            view = self._nodes.get(node)
            changed |= pool.hold(node, self._packed.get(node, ()) if view is not None and view.ready else ())
        if changed:
            turn.shown[(_SERVICE, *key)] = None

    def _open(self, owner: _Owner, turn: _Turn) -> None:
        self._pools[owner] = Pool()
        try:
            self._names[owner] = tuple(self._named(owner))
        except ModelError as error:
            self._names[owner] = ()
            self._tell(f"{_told(owner)} can have no name: {error}")
        turn.shown[owner] = None

    def _close(self, owner: _Owner, turn: _Turn) -> None:
        self._pools.pop(owner, None)
        self._overfull.discard(owner)
        for name in self._names.pop(owner, ()):
            self._claim(owner, name, (), turn)

    def _named(self, owner: _Owner) -> Iterator[Name]:
        """The names of an area, a Service or a node, in the order of ``_TYPES``."""
        kind, namespace, name = owner
        if kind == _NODE:
            labels = (*name.split("."), *self._naming.node_names.split("."))
            yield Name((*(label.encode() for label in labels), *self._naming.origin.labels))
            return
        base = self._naming.origin.prefixed(namespace) if namespace else self._naming.origin
        base = base.prefixed(name)
        yield base
        for label in _FAMILY_LABELS:
            yield base.prefixed(label)
        if self._naming.wildcards:
            yield base.prefixed(b"*")

    def _done(self, turn: _Turn) -> Changes:
        """What an event changed."""
        for owner in turn.shown:
            if owner in self._pools:
                self._show(owner, turn)
        return turn.changes

    def _show(self, owner: _Owner, turn: _Turn) -> None:
        """What an area, a Service or a node has is what its names hold."""
        pool = self._pools[owner]
        if not pool.overfull:
            self._overfull.discard(owner)
        elif owner not in self._overfull:
            self._overfull.add(owner)
            most = " and ".join(f"{most:,} {type_name(rtype)}" for rtype, most in MAX_ADDRESSES.items())
            self._tell(f"{_told(owner)} has more addresses than an answer can hold; it has {most} at most")
        found, ttl = pool.answered(self._unhealthy), self._naming.ttl
        for name, allowed in zip(self._names[owner], _TYPES, strict=False):
            held = tuple(RRset(name, rtype, ttl, rdatas) for rtype, rdatas in found.items() if rtype in allowed)
            self._claim(owner, name, held or (self._rrset(name, RRType.TXT, MARK),), turn)

    def _show_ports(self, key: Key, view: Offer | None, turn: _Turn) -> None:
        if not self._naming.srv:
            return
        owner, claimed = (_SERVICE, *key), self._ports.pop(key, ())
        rrsets: dict[Name, RRset] = {}
        for port in view.ports if view is not None and self._names[owner] else ():
            target = self._names[owner][0]
            try:
                name = target.prefixed(f"_{port.protocol}").prefixed(f"_{port.name}")
            except ModelError as error:
                self._tell(f"port {port.name} of {_told(owner)} can have no name: {error}")
                continue
            rrsets[name] = self._rrset(name, SRV, struct.pack("!3H", 0, 0, port.number) + target.wire)
        for name in claimed:
            if name not in rrsets:
                self._claim(owner, name, (), turn)
        for name, item in rrsets.items():
            self._claim(owner, name, (item,), turn)
        if rrsets:
            self._ports[key] = tuple(rrsets)

    def _rrset(self, name: Name, rtype: int, rdata: bytes) -> RRset:
        return RRset(name, rtype, self._naming.ttl, (rdata,))

    def _claim(self, owner: _Owner, name: Name, held: Held, turn: _Turn) -> None:
        """An owner says what a name holds; what is seen of it goes into the changes."""
        claims = self._claims.get(name, ())
        before = claims[0][1] if claims else ()
        claims = tuple(claim for claim in claims if claim[0] != owner)
        if held:
            claims = tuple(sorted((*claims, (owner, held)), key=itemgetter(0))) if claims else ((owner, held),)
        if claims:
            self._claims[name] = claims
        else:
            self._claims.pop(name, None)
        after = claims[0][1] if claims else ()
        for item in after:
            old = next((each for each in before if each.type == item.type), None)
            if old != item:
                turn.change(item.key, old, item)
        for item in before:
            if all(each.type != item.type for each in after):
                turn.change(item.key, item, None)


class _Turn:
    """What one event changes: whose names are to be shown anew, and what names held before and hold after."""

    __slots__ = ("_before", "changes", "shown")

    def __init__(self) -> None:
        self.shown: dict[_Owner, None] = {}
        self.changes: Changes = {}
        self._before: Changes = {}

    def change(self, key: tuple[Name, int], before: RRset | None, after: RRset | None) -> None:
        """A name changes, perhaps back to what it was before."""
        if self._before.setdefault(key, before) == after:
            self.changes.pop(key, None)
        else:
            self.changes[key] = after


def _discard(index: dict[K, set[str]], key: K, value: str) -> bool:
    """Take a value out of an index; whether others are left there."""
    held = index[key]
    held.discard(value)
    if not held:
        del index[key]
    return bool(held)


def _told(owner: _Owner) -> str:
    kind, namespace, name = owner
    return (f"area {name}", f"Service {namespace}/{name}", f"node {name}")[kind]
