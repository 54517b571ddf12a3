"""Real secondaries follow the server, with its zones and journals on disk, by NOTIFY and signed transfers."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from homing.app.transfers import Transfers
from homing.dns.authority import Authority, Change
from homing.dns.server import DnsServer
from homing.dns.transfers.follow import Counted
from homing.dns.transfers.policy import TransferPolicy, ZonePolicy
from homing.dns.transfers.secondary import Secondary
from homing.dns.transfers.transfer import Kind
from homing.dns.transfers.tsig import tsig_key
from homing.dns.transfers.turns import Ending, Response
from homing.effects.clock import SystemClock
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType, rrset
from homing.model.zone import Soa, Zone, ZoneDiff, amend, zone
from homing.store import Store
from homing.turn.memory import Memory
from tests.dns.zones import ORIGIN, RRSETS, addresses
from tests.dns_servers import ALGORITHM, KEY, KEY_NAME, secondary
from tests.ports import free_port
from tests.waiting import patience

pytestmark = pytest.mark.peers

PROGRAMS = ["knot", "nsd", "bind"]
CHANGES = 1000
SMALL = tuple(item for item in RRSETS if len(item.rdatas) <= 100)
"""Without the RRset that BIND finds too large."""

FIRST = zone(ORIGIN, 2026, Soa(ORIGIN.prefixed("ns1"), ORIGIN.prefixed("admin"), refresh=30, retry=2), SMALL)
CATALOG = parse_name("catalog.invalid")
Changes = dict[tuple[Name, int], RRset | None]


class CutOff(Response):
    """A transfer whose connection is reset behind the second message."""

    def __init__(self, whole: Response) -> None:
        super().__init__(whole.rcode, iter(()))
        self._whole = whole
        self._sent = 0

    @property
    def seconds(self) -> float:
        """As long as the whole one."""
        return self._whole.seconds

    @property
    def overdue(self) -> bool:
        """After two messages."""
        return self._sent == 2

    def next(self) -> bytes | None:
        """The next message."""
        self._sent += 1
        return self._whole.next()


class Running:
    """A server that secondaries follow."""

    def __init__(self, authority: Authority, transfers: Transfers) -> None:
        self.authority = authority
        self.transfers = transfers
        self.seen: Counter[Counted] = Counter()

    @property
    def kinds(self) -> set[str]:
        """The kinds of the transfers that brought something since this was asked last."""
        news = self.transfers.following.transfers - self.seen
        self.seen = Counter(self.transfers.following.transfers)
        return {counted.kind for counted in news if counted.ending is Ending.DONE} - {Kind.CURRENT}

    async def publish(self, new: Zone, known: ZoneDiff | None = None) -> None:
        """Serve a version once it is on disk."""
        await self.transfers.keeper.save(Change(self.authority.zone(new.origin), new, known))
        self.authority.publish(new, known)

    async def amend(self, changes: Changes) -> Zone:
        """Serve a next version of the zone."""
        old = self.authority.zone(ORIGIN)
        assert old is not None
        new, known = amend(old, changes)
        await self.publish(new, known)
        return new

    async def change(self, index: int) -> Zone:
        """One name moves, another comes, and an old one goes."""
        moving, coming = addresses("moving.example.net", f"198.51.100.{index % 250}")[0], f"new{index}.example.net"
        (new,) = addresses(coming, "192.0.2.9")
        going = parse_name(f"new{index - 3}.example.net"), 1
        return await self.amend({moving.key: moving, new.key: new, going: None})


@asynccontextmanager
async def primary(state: Path, port: int, secondary_port: int, catalog: Name | None = None) -> AsyncIterator[Running]:
    """The server with the zones on disk, and one secondary."""
    authority, clock = Authority(), SystemClock()
    key = tsig_key(KEY_NAME, ALGORITHM, KEY)
    policy = TransferPolicy((key,), ZonePolicy((Secondary("127.0.0.1", secondary_port, key),)), catalog=catalog)
    with Store(state) as store, contextlib.closing(Memory(store)) as memory:
        async with Transfers(authority, memory, store, clock=clock, chance=random.Random(1)) as transfers:
            transfers.follow(lambda: policy)
            for old in transfers.keeper.last_good:
                authority.publish(old)
            server = DnsServer(authority, primary=transfers.primary)
            await server.listen([("127.0.0.1", port)])
            transfers.begin()
            try:
                yield Running(authority, transfers)
            finally:
                await server.aclose()


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_secondary_follows_by_ixfr_only(program: str, tmp_path: Path) -> None:
    """After one AXFR all changes reach a secondary as differences, through a restart of it and of the primary."""
    port, state = free_port(), tmp_path / "state"
    with secondary(program, tmp_path, port) as server:
        async with primary(state, port, server.port) as first:
            await first.publish(FIRST)
            await server.reaches(FIRST.serial)
            assert first.kinds == {Kind.WHOLE}
            for index in range(CHANGES // 2):
                version = await first.change(index)
                if index % 20 == 0:
                    await server.reaches(version.serial)
            await server.reaches(version.serial)
            server.stop()
            for index in range(CHANGES // 2, CHANGES * 3 // 4):
                version = await first.change(index)
            server.start()
            await server.reaches(version.serial)
            assert first.kinds == {Kind.STEPS}
            server.stop()
            version = await first.change(CHANGES * 3 // 4)
        async with primary(state, port, server.port) as second:
            server.start()
            await server.reaches(version.serial)
            for index in range(CHANGES * 3 // 4 + 1, CHANGES):
                version = await second.change(index)
            await server.reaches(version.serial)
            assert second.kinds == {Kind.STEPS}
        assert await server.addresses("moving.example.net") == {f"198.51.100.{(CHANGES - 1) % 250}"}
        assert not await server.addresses(f"new{CHANGES - 10}.example.net")
        assert await server.addresses(f"new{CHANGES - 1}.example.net") == {"192.0.2.9"}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_transfer_cut_off_leaves_the_old_zone(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secondary whose AXFR is reset midway serves the old zone, and follows once a transfer is whole."""
    port = free_port()
    large = [item for index in range(4000) for item in addresses(f"host{index}.example.net", "192.0.2.7")]
    with secondary(program, tmp_path, port) as server:
        async with primary(tmp_path / "state", port, server.port) as running:
            await running.publish(FIRST)
            await server.reaches(FIRST.serial)
            side, cuts = running.transfers.primary, Counter[str]()
            respond = side.respond

            def cutting(packet: bytes, client: str, *, udp: bool) -> Response | None:
                response = respond(packet, client, udp=udp)
                if response is None or udp or not response.seconds:
                    return response
                cuts["all"] += 1
                return CutOff(response)

            monkeypatch.setattr(side, "respond", cutting)
            await running.amend({item.key: item for item in large})
            async with asyncio.timeout(20 * patience()):
                while not cuts:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)  # what the secondary got is there to be used wrongly
            assert await server.serial() == FIRST.serial
            assert not await server.addresses("host1.example.net")
            monkeypatch.undo()
            version = await running.change(1)
            await server.reaches(version.serial)
            assert await server.addresses("host3999.example.net") == {"192.0.2.7"}


@pytest.mark.parametrize("program", ["knot", "bind"])
async def test_a_secondary_follows_the_catalog(program: str, tmp_path: Path) -> None:
    """RFC 9432: zones that come, through a restart too, are served without any setting there; one that goes is not."""
    port, state = free_port(), tmp_path / "state"
    other, third = (
        zone(origin, serial, FIRST.soa, [rrset(origin, RRType.NS, 60, [FIRST.soa.mname.wire])])
        for origin, serial in ((parse_name("other.test"), 7), (parse_name("third.test"), 9))
    )
    with secondary(program, tmp_path, port, catalog=CATALOG.text) as server:
        await server.answers()  # BIND forgets a NOTIFY that comes while its first refresh fails
        async with primary(state, port, server.port, CATALOG) as first:
            await first.publish(FIRST)
            await first.transfers.list_members([ORIGIN])
            await server.reaches(FIRST.serial)
            await first.publish(other)
            await first.transfers.list_members([ORIGIN, other.origin])
            await server.reaches(7, "other.test")
        async with primary(state, port, server.port, CATALOG) as second:
            await second.publish(third)
            await second.transfers.list_members([ORIGIN, other.origin, third.origin])
            await server.reaches(9, "third.test")
            second.authority.withdraw(ORIGIN)
            await second.transfers.list_members([other.origin, third.origin])
            await server.reaches(None)
            assert (await server.serial("other.test"), await server.serial("third.test")) == (7, 9)
