"""How far secondaries are with the zones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

from homing.dns.authority import Authority
from homing.dns.server import DnsServer
from homing.dns.transfers.follow import LATER, LOOK, SOON, VERSIONS, Counted, Following
from homing.dns.transfers.policy import TransferPolicy, ZonePolicy
from homing.dns.transfers.secondary import Secondary
from homing.dns.transfers.transfer import Kind, Rule
from homing.dns.transfers.tsig import tsig_key
from homing.dns.transfers.turns import Ending, Transferred
from homing.effects.clock import ManualClock
from homing.model.name import Name, parse_name
from homing.model.zone import Zone, serial_add, zone
from tests.dns.zones import ORIGIN, SOA, addresses
from tests.dns_servers import ALGORITHM, KEY
from tests.ports import free_port

ONE, TWO = Secondary("192.0.2.1"), Secondary("192.0.2.2")


def version(serial: int) -> Zone:
    """A version that differs from all others."""
    return zone(ORIGIN, serial, SOA, addresses("www.example.net", f"198.51.{serial // 250 % 250}.{serial % 250}"))


def fetched(serial: int, client: str = ONE.host, **more: object) -> Transferred:
    """A transfer that ended."""
    return Transferred(ORIGIN, client, None, Kind.WHOLE, None, serial, **more)  # type: ignore[arg-type]


class Scene:
    """An authority whose secondaries are followed, on a clock moved by hand."""

    def __init__(self, *secondaries: Secondary) -> None:
        self.authority = Authority()
        self.clock = ManualClock()
        self.ahead: list[tuple[Secondary, Name, int]] = []
        self.following = Following(
            self.authority, self.clock, random.Random(1), on_ahead=lambda *told: self.ahead.append(told)
        )
        self.following.follow(lambda _: secondaries)

    @property
    def standings(self) -> list[tuple[int | None, float]]:
        """Serial and lag of each."""
        return [(item.serial, round(item.lag, 3)) for item in self.following.standings()]


async def test_the_lag_counts_from_the_first_version_that_is_missing() -> None:
    """A secondary that follows a zone in motion lags by its own delay, not since the motion began."""
    scene = Scene(ONE, TWO)
    for serial in range(1, 5):
        scene.authority.publish(version(serial))
        await scene.clock.advance(10)
    scene.following.transferred(fetched(3))
    assert scene.standings == [(3, 10.0), (None, 40.0)]
    scene.following.transferred(fetched(4))
    scene.following.transferred(fetched(4, TWO.host))
    assert scene.standings == [(4, 0.0), (4, 0.0)]


async def test_an_endless_lag_is_bounded_by_what_is_remembered() -> None:
    """Of more versions than are remembered the oldest remembered one counts."""
    scene = Scene(ONE)
    for serial in range(VERSIONS + 10):
        scene.authority.publish(version(serial))
        await scene.clock.advance(1)
    assert scene.standings == [(None, float(VERSIONS))]


async def test_what_tells_nothing_of_a_secondary_is_only_counted() -> None:
    """A transfer that broke off, one of somebody else, and one with another key leave the serial unknown."""
    scene = Scene(ONE, Secondary("192.0.2.9"), Secondary("192.0.2.9", 5353))
    scene.authority.publish(version(1))
    scene.following.transferred(fetched(1, ending=Ending.ABORTED))
    scene.following.transferred(fetched(1, "192.0.2.77"))
    scene.following.transferred(fetched(1, "192.0.2.9"))
    scene.following.transferred(
        Transferred(ORIGIN, ONE.host, parse_name("key"), Kind.STEPS, None, 1, ending=Ending.DONE)
    )
    assert scene.standings == [(None, 0.0)] * 3
    assert scene.following.transfers == {
        Counted("example.net", "axfr", Ending.ABORTED): 1,
        Counted("example.net", "axfr", Ending.DONE): 2,
        Counted("example.net", "ixfr", Ending.DONE): 1,
    }


async def test_zones_that_are_not_served_are_one_label() -> None:
    """Who asks for made-up zones makes no labels."""
    scene = Scene(ONE)
    for label in "abc":
        asked = Transferred(parse_name(f"{label}.test"), "192.0.2.1", None, Kind.WHOLE, None, 0, ending=Ending.REFUSED)
        scene.following.transferred(asked)
    assert scene.following.transfers == {Counted("", "axfr", Ending.REFUSED): 3}


async def test_a_secondary_that_is_gone_is_forgotten() -> None:
    """Neither a zone withdrawn nor a secondary taken out is told of any longer."""
    scene = Scene(ONE)
    scene.authority.publish(version(1))
    scene.following.transferred(fetched(1))
    scene.following.follow(lambda _: ())
    assert scene.standings == []
    scene.following.follow(lambda _: (ONE,))
    assert scene.standings == [(None, 0.0)]
    scene.authority.withdraw(ORIGIN)
    assert scene.standings == []


@asynccontextmanager
async def asked(served: Authority, scene: Scene) -> AsyncIterator[Secondary]:
    """A secondary that serves these zones, asked as ``run`` does."""
    server = DnsServer(served)
    await server.listen([("127.0.0.1", 0)])
    secondary = Secondary(*server.addresses[0])
    scene.following.follow(lambda _: (secondary,))
    running = asyncio.create_task(scene.following.run())
    try:
        yield secondary
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.aclose()


async def passing(scene: Scene, seconds: float) -> None:
    """Let time pass in looks, with real time for datagrams."""
    for _ in range(round(seconds / LOOK)):
        await scene.clock.advance(LOOK)
        await asyncio.sleep(0.02)


async def test_secondaries_are_asked_for_their_serial() -> None:
    """One that is behind soon, one that has all seldom; what it says is known then."""
    scene, served = Scene(), Authority()
    served.publish(version(1))
    async with asked(served, scene):
        scene.authority.publish(version(1))
        await passing(scene, 2 * (SOON + LOOK))
        assert scene.standings == [(1, 0.0)]
        scene.authority.publish(version(2))
        served.publish(version(2))
        await passing(scene, 2 * (SOON + LOOK))
        assert scene.standings == [(2, 0.0)]
        served.publish(version(3))
        await passing(scene, LATER / 2)
        assert scene.standings == [(2, 0.0)], "it was not asked again"


async def test_a_secondary_ahead_is_told_when_it_says_so_twice() -> None:
    """A serial newer than what is served here is reported, once seen again."""
    scene, served = Scene(), Authority()
    served.publish(version(9))
    async with asked(served, scene) as secondary:
        scene.authority.publish(version(1))
        await passing(scene, SOON + LOOK)
        assert not scene.ahead
        await passing(scene, 3 * SOON)
        assert scene.ahead[0] == (secondary, ORIGIN, 9)


async def test_silence_is_asked_less_and_less() -> None:
    """A secondary that never answers does not end the asking of others."""
    scene = Scene(Secondary("127.0.0.1", free_port()))
    scene.authority.publish(version(serial_add(0, 1)))
    running = asyncio.create_task(scene.following.run())
    await passing(scene, 20 * LOOK)
    assert not running.done()
    assert scene.standings == [(None, 100.0)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_a_catalog_is_for_the_secondaries_of_all_zones() -> None:
    """What a zone says takes the place of what holds for all; the catalog has the union."""
    key = tsig_key("ns2", ALGORITHM, KEY)
    signed = Secondary("192.0.2.3", 53, key)
    network = Rule((ip_network("198.51.100.0/24"),))
    catalog, special = parse_name("catalog.invalid"), parse_name("special.test")
    policy = TransferPolicy(
        (key,), ZonePolicy((ONE,)), {special: ZonePolicy((signed, ONE), (network,))}, catalog=catalog
    )
    assert policy.of(ORIGIN).secondaries == (ONE,)
    assert policy.of(special).secondaries == (signed, ONE)
    assert policy.of(catalog).secondaries == (ONE, signed)
    assert policy.of(special).access.rules == (signed.rule, ONE.rule, network)
    assert policy.of(catalog).others == (network,)
    assert signed.rule == Rule((ip_network("192.0.2.3"),), key.name)
