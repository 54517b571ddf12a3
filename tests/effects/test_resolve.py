"""The resolver waits for nobody and remembers what it learnt."""

from __future__ import annotations

import asyncio
import threading

import pytest

from homing.effects.clock import ManualClock
from homing.effects.resolve import FRESH, Resolver
from homing.errors import ResolveError
from homing.model.address import Family, parse_address


async def test_answers_are_used_until_they_are_old() -> None:
    """The system is asked once within five minutes."""
    clock, asked = ManualClock(), []

    def lookup(host: str, family: Family) -> list[str]:
        asked.append((host, family))
        return ["192.0.2.1", "2001:db8::1"]

    resolver = Resolver(clock, lookup)
    for _ in range(3):
        assert await resolver.resolve("stun.example", Family.V4) == (parse_address("192.0.2.1"),)
    await clock.advance(FRESH)
    await resolver.resolve("stun.example", Family.V4)
    assert len(asked) == 2


async def test_an_old_answer_is_better_than_none() -> None:
    """When the system's resolver fails, what was known is used."""
    clock, broken = ManualClock(), False

    def lookup(_host: str, _family: Family) -> list[str]:
        if broken:
            raise OSError("no resolver")
        return ["192.0.2.1"]

    resolver = Resolver(clock, lookup)
    await resolver.resolve("stun.example", Family.V4)
    broken = True
    await clock.advance(FRESH + 1)
    assert await resolver.resolve("stun.example", Family.V4)
    with pytest.raises(ResolveError, match=r"the name other\.example could not be resolved"):
        await resolver.resolve("other.example", Family.V4)
    with pytest.raises(ResolveError, match="could not be resolved"):
        await resolver.resolve("stun.example", Family.V6)


async def test_a_name_without_addresses_of_the_family_says_so() -> None:
    """Addresses of the other family are of no use."""
    resolver = Resolver(ManualClock(), lambda _host, _family: ["192.0.2.1", "nonsense"])
    with pytest.raises(ResolveError, match=r"stun\.example has no IPv6 address"):
        await resolver.resolve("stun.example", Family.V6)


async def test_hanging_look_ups_are_bounded() -> None:
    """When all threads hang, the next look-up fails at once; when they end, look-ups work again."""
    release, clock = threading.Event(), ManualClock()

    def lookup(host: str, _family: Family) -> list[str]:
        if host.startswith("hang"):
            release.wait(20)
        return ["192.0.2.1"]

    resolver = Resolver(clock, lookup, max_threads=2)
    hanging = [asyncio.create_task(resolver.resolve(f"hang{number}", Family.V4)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ResolveError, match="hangs"):
        await resolver.resolve("stun.example", Family.V4)
    release.set()
    await asyncio.gather(*hanging)
    assert await resolver.resolve("stun.example", Family.V4)
