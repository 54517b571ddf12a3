"""Real secondaries follow the server by NOTIFY and signed incremental transfers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from homing.dns.authority import Authority
from homing.dns.server import DnsServer
from homing.dns.transfers.journal import Step
from homing.dns.transfers.notify import Notifier
from homing.dns.transfers.primary import Primary
from homing.dns.transfers.secondary import Secondary
from homing.dns.transfers.transfer import Access, Kind, Rule
from homing.dns.transfers.tsig import Keyring, tsig_key
from homing.dns.transfers.turns import Response, Transferred
from homing.effects.clock import SystemClock
from homing.model.zone import Soa, Zone, succeed, zone
from tests.dns.secondaries import ALGORITHM, KEY_NAME, SECRET, SecondaryServer
from tests.dns.zones import ORIGIN, RRSETS, addresses
from tests.providers.dns_peers import free_port

pytestmark = pytest.mark.peers

PROGRAMS = ["knot", "nsd", "bind"]
KEY = tsig_key(KEY_NAME, ALGORITHM, SECRET)
CHANGES = 1000
SMALL = tuple(item for item in RRSETS if len(item.rdatas) <= 100)
"""Without the RRset that BIND finds too large."""

FIRST = zone(ORIGIN, 2026, Soa(ORIGIN.prefixed("ns1"), ORIGIN.prefixed("admin"), refresh=30, retry=2), SMALL)


class CutOff(Response):
    """A transfer whose connection is reset behind the second message."""

    def __init__(self, whole: Response) -> None:
        super().__init__(whole.rcode, iter(()))
        self._whole = whole
        self._sent = 0

    @property
    def overdue(self) -> bool:
        """After two messages."""
        return self._sent == 2

    def next(self) -> bytes | None:
        """The next message."""
        self._sent += 1
        return self._whole.next()


class CuttingPrimary(Primary):
    """A primary that resets the connections of transfers while ``cutting``; counts them in ``cuts``."""

    cutting = False
    cuts = 0

    def respond(self, packet: bytes, client: str, *, udp: bool) -> Response | None:
        """The response, cut off when it is a transfer."""
        response = super().respond(packet, client, udp=udp)
        if response is None or udp or not self.cutting:
            return response
        self.cuts += 1
        return CutOff(response)


class Running:
    """A primary that secondaries can reach."""

    def __init__(self, authority: Authority, primary: CuttingPrimary, transfers: list[Transferred]) -> None:
        self.authority = authority
        self.primary = primary
        self.transfers = transfers

    def change(self, index: int) -> Zone:
        """Serve a next version: one name moves, another comes, and an old one goes."""
        old = self.authority.zone(ORIGIN)
        assert old is not None
        moving, coming, going = (f"{name}.example.net" for name in ("moving", f"new{index}", f"new{index - 3}"))
        kept = [item for item in old.rrsets() if item.name.text not in (moving, going)]
        new = succeed(old, [*kept, *addresses(moving, f"198.51.100.{index % 250}"), *addresses(coming, "192.0.2.9")])
        self.authority.publish(new)
        return new


@asynccontextmanager
async def primary(
    port: int, secondary_port: int, start: Zone, journal: Iterable[Step] | None = None
) -> AsyncIterator[Running]:
    """The server with one zone, telling one secondary."""
    authority = Authority()
    transfers: list[Transferred] = []
    clock = SystemClock()
    access = Access((Rule(key=KEY.name),))
    side = CuttingPrimary(authority, clock, access=access, keys=Keyring((KEY,)), on_transfer=transfers.append)
    if journal is not None:
        side.restore(ORIGIN, journal)
    notifier = Notifier(authority, [Secondary("127.0.0.1", secondary_port, KEY)], clock, random.Random(1))
    server = DnsServer(authority, primary=side)
    await server.listen([("127.0.0.1", port)])
    authority.publish(start)
    try:
        yield Running(authority, side, transfers)
    finally:
        await server.aclose()
        await notifier.aclose()
        side.close()


@contextmanager
def secondary(program: str, directory: Path, primary_port: int) -> Iterator[SecondaryServer]:
    """A secondary that is stopped at the end."""
    server = SecondaryServer(program, directory, ("127.0.0.1", primary_port), free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_secondary_follows_by_ixfr_only(program: str, tmp_path: Path) -> None:
    """After one AXFR all changes reach a secondary as differences, through a restart of it and of the primary."""
    port = free_port()
    with secondary(program, tmp_path, port) as server:
        async with primary(port, server.port, FIRST) as first:
            await server.reaches(FIRST.serial)
            assert {item.kind for item in first.transfers} == {Kind.WHOLE}
            seen = len(first.transfers)
            for index in range(CHANGES // 2):
                version = first.change(index)
                if index % 20 == 0:
                    await server.reaches(version.serial)
            await server.reaches(version.serial)
            server.stop()
            for index in range(CHANGES // 2, CHANGES * 3 // 4):
                version = first.change(index)
            server.start()
            await server.reaches(version.serial)
            followed = first.transfers[seen:]
            assert followed
            assert {item.kind for item in followed} == {Kind.STEPS}
            journal = first.primary.journal(ORIGIN)
            assert journal is not None
            stored = journal.steps
        async with primary(port, server.port, version, stored) as second:
            for index in range(CHANGES * 3 // 4, CHANGES):
                version = second.change(index)
            await server.reaches(version.serial)
            assert {item.kind for item in second.transfers} == {Kind.STEPS}
        assert await server.addresses("moving.example.net") == {f"198.51.100.{(CHANGES - 1) % 250}"}
        assert not await server.addresses(f"new{CHANGES - 10}.example.net")
        assert await server.addresses(f"new{CHANGES - 1}.example.net") == {"192.0.2.9"}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_transfer_cut_off_leaves_the_old_zone(program: str, tmp_path: Path) -> None:
    """A secondary whose AXFR is reset midway serves the old zone, and follows once a transfer is whole."""
    port = free_port()
    large = [rrset for index in range(4000) for rrset in addresses(f"host{index}.example.net", "192.0.2.7")]
    with secondary(program, tmp_path, port) as server:
        async with primary(port, server.port, FIRST) as running:
            await server.reaches(FIRST.serial)
            running.primary.cutting = True
            version = succeed(FIRST, [*SMALL, *large])
            running.authority.publish(version)
            async with asyncio.timeout(20):
                while not running.primary.cuts:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)  # what the secondary got is there to be used wrongly
            assert await server.serial() == FIRST.serial
            assert not await server.addresses("host1.example.net")
            running.primary.cutting = False
            version = running.change(1)
            await server.reaches(version.serial)
            assert await server.addresses("host3999.example.net") == {"192.0.2.7"}
