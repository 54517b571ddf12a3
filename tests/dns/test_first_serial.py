"""What secondaries say to have, for a zone whose state is lost."""

from __future__ import annotations

import random

import pytest

from homing.dns.authority import Authority
from homing.dns.server import DnsServer
from homing.dns.transfers.primary import Primary
from homing.dns.transfers.secondary import Secondary, ask_serial, greatest_serial, heard_serials
from homing.dns.transfers.tsig import Key, Keyring, tsig_key
from homing.effects.clock import SystemClock
from homing.model.name import parse_name
from homing.model.zone import zone
from tests.dns.zones import ORIGIN, SOA
from tests.dns_servers import ALGORITHM, KEY_NAME
from tests.dns_servers import KEY as SECRET
from tests.ports import free_port

KEY = tsig_key(KEY_NAME, ALGORITHM, SECRET)
CHANCE = random.Random(1)


async def serving(serial: int) -> tuple[DnsServer, Primary]:
    """A server that serves the zone with a serial and knows the key."""
    authority = Authority()
    side = Primary(authority, SystemClock(), keys=Keyring((KEY,)))
    server = DnsServer(authority, primary=side)
    await server.listen([("127.0.0.1", 0)])
    authority.publish(zone(ORIGIN, serial, SOA, ()))
    return server, side


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize(("serials", "expected"), [((5, 9, 7), 9), ((2**32 - 3, 4), 4), ((2**32 - 5, 2**32 - 1, 3), 3)])
async def test_the_greatest_serial_counts(serials: tuple[int, ...], expected: int, key: Key | None) -> None:
    """Greatest by serial arithmetic; a secondary that does not answer does not count."""
    servers = [await serving(serial) for serial in serials]
    try:
        secondaries = [Secondary(*server.addresses[0], key) for server, _ in servers]
        secondaries.append(Secondary("127.0.0.1", free_port(), key))
        heard = await heard_serials({ORIGIN: secondaries}, SystemClock(), CHANCE, 5)
        assert greatest_serial(heard[ORIGIN]) == expected
        assert await ask_serial(secondaries[0], parse_name("other.test"), SystemClock(), CHANCE) is None
    finally:
        for server, side in servers:
            await server.aclose()
            side.close()


async def test_nobody_is_heard_where_nobody_answers() -> None:
    """Without secondaries, or when none answers, nothing is known."""
    nobody = {ORIGIN: [Secondary("127.0.0.1", free_port())], parse_name("other.test"): []}
    assert await heard_serials(nobody, SystemClock(), CHANCE, 5) == {}
    assert greatest_serial(()) is None
