"""A household goes on after faults, its own too."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from homing import __version__
from homing.app.household import Household
from homing.app.settings import DetectSettings, Dyndns2Settings, Loaded, NameSettings, Settings, ZoneSettings
from homing.dns.authority import Authority
from homing.effects.clock import ManualClock, settle
from homing.effects.metrics import Metrics
from homing.model.address import Family, parse_address
from homing.model.name import Name, parse_name
from homing.model.observation import Outcome, Verdict
from homing.plan import NameChange
from homing.providers.zone import GATHER
from homing.store import Store
from homing.turn.memory import Memory
from tests.app.fake_provider import FakeProvider
from tests.waiting import patience

STATIC = {"source": "static", "addresses": ("8.8.8.8",)}
SETTINGS = Settings(
    detect=DetectSettings(families=()),
    zones={"home.arpa": ZoneSettings()},
    providers={"fake": Dyndns2Settings(type="strato", password_file="none")},
    names=(
        NameSettings(fqdn="www.example.org", provider="fake", **STATIC),  # type: ignore[arg-type]
        NameSettings(fqdn="own.home.arpa", provider="zone", **STATIC),  # type: ignore[arg-type]
    ),
)


class Broken(FakeProvider):
    """A provider with a bug, for a while."""

    bug = True

    async def apply(self, change: NameChange) -> None:
        if self.bug:
            raise ValueError("the password is hush")
        await super().apply(change)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[Household, Broken, ManualClock, Store, Metrics]]:
    clock, metrics, provider = ManualClock(), Metrics(__version__), Broken()
    with Store(tmp_path) as store:
        memory = Memory(store)
        household = Household(
            Loaded(SETTINGS, "test", tmp_path), memory, Authority(), metrics, clock=clock, chance=random.Random(1)
        )
        household._providers["fake"] = provider
        await household.open()

        async def note() -> None: ...

        task = asyncio.create_task(household.run(note))
        yield household, provider, clock, store, metrics
        await household.finish(task, 0.1)
        await household.aclose()
        memory.close()


async def _eventually(condition: object, clock: ManualClock) -> None:
    """Store writes run in a thread, so some real turns of the loop and a little time pass until a condition holds."""
    assert callable(condition)
    async with asyncio.timeout(5 * patience()):
        while not condition():
            await clock.advance(GATHER)
            await asyncio.to_thread(lambda: None)


async def test_a_bug_in_one_provider_stops_nobody_else(
    house: tuple[Household, Broken, ManualClock, Store, Metrics],
) -> None:
    """U9: the own zone is served, the fault is counted and told without its text, and the part is started again."""
    household, provider, clock, store, metrics = house
    own: Name = parse_name("own.home.arpa")
    await _eventually(lambda: household.reconcilers["zone"].is_in_sync(own), clock)
    fault = 'homing_internal_faults_total{part="turns of fake"} 1.0'
    await _eventually(lambda: fault in metrics.exposition().decode(), clock)
    await _eventually(store.events, clock)
    (event,) = store.events()
    assert event.kind == "fault"
    assert "ValueError at test_household.py" in event.detail
    assert "hush" not in event.detail
    provider.bug = False
    async with asyncio.timeout(5 * patience()):
        while provider.values(parse_name("www.example.org")) != {"8.8.8.8"}:
            await passed(clock, 1.0)


async def test_turns_that_never_end_are_overdue(
    house: tuple[Household, Broken, ManualClock, Store, Metrics],
) -> None:
    """While all goes well nothing is overdue; a provider whose turns fail is, since its turn was due."""
    household, provider, clock, _, metrics = house
    provider.bug = False
    await _eventually(lambda: all(one.turned_at for one in household.reconcilers.values()), clock)
    for _ in range(8):
        await passed(clock, 200.0)
    assert household.overdue < 60
    provider.bug, due = True, household.reconcilers["fake"].next_at
    provider.held.clear()
    await passed(clock, due - clock.time() + 1)
    for _ in range(7):
        await passed(clock, 200.0)
    assert household.overdue > 1200
    assert household.reconcilers["zone"].next_at > clock.time() - 60
    last = metrics.registry.get_sample_value("homing_last_turn_timestamp_seconds", {"provider": "fake"})
    assert last is not None
    assert last < due


async def test_glue_is_served_for_the_zone_s_name_server(
    house: tuple[Household, Broken, ManualClock, Store, Metrics],
) -> None:
    """The apex's NS lies in the zone and has an address (C3)."""
    household, *_ = house
    served = household._authority.zone(parse_name("home.arpa"))
    assert served is not None
    glue = served.nodes[parse_name("ns1.home.arpa")]
    assert {str(address) for item in glue.values() for address in item.addresses} - {"0.0.0.0", "::"}


class StillDetector:
    """A detector that says nothing by itself."""

    async def run(self) -> None:
        await asyncio.Event().wait()

    def trigger(self) -> None: ...


def agreed(family: Family, address: str) -> Verdict:
    return Verdict(family, Outcome.AGREED, parse_address(address), "all say so", 0.0, 0.1)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[tuple[Household, FakeProvider, ManualClock]]:
    """A household with one name that follows both families of the WAN."""
    clock, provider = ManualClock(), FakeProvider()
    settings = structs.replace(
        SETTINGS, detect=DetectSettings(), names=(NameSettings(fqdn="www.example.org", provider="fake"),)
    )
    memory = Memory(None)
    household = Household(
        Loaded(settings, "test", tmp_path),
        memory,
        Authority(),
        Metrics(__version__),
        clock=clock,
        chance=random.Random(1),
    )
    household._providers["fake"] = provider
    household._detector = StillDetector()  # type: ignore[assignment]
    await household.open()

    async def note() -> None: ...

    task = asyncio.create_task(household.run(note))
    yield household, provider, clock
    await household.finish(task, 0.1)
    await household.aclose()
    memory.close()


async def passed(clock: ManualClock, seconds: float) -> None:
    """Let time pass, with some real turns of the loop for what runs in threads."""
    for _ in range(20):
        await settle()
        await asyncio.to_thread(lambda: None)
    await clock.advance(seconds)
    for _ in range(20):
        await settle()
        await asyncio.to_thread(lambda: None)


async def test_no_family_is_published_before_every_one_had_its_first_round(
    home: tuple[Household, FakeProvider, ManualClock],
) -> None:
    """U6: at start one request carries both families, however long the second one took."""
    household, provider, clock = home
    household._on_round(agreed(Family.V4, "8.8.8.8"))
    await passed(clock, 3.0)
    assert not provider.applied
    household._on_round(agreed(Family.V6, "2a00::1"))
    await passed(clock, 1.0)
    assert [len(item.wanted) for item in provider.applied] == [2]


async def test_a_name_is_not_called_right_from_the_moment_its_address_changed(
    home: tuple[Household, FakeProvider, ManualClock],
) -> None:
    """Though the provider has not been asked yet."""
    household, _, clock = home
    for family, address in ((Family.V4, "8.8.8.8"), (Family.V6, "2a00::1")):
        household._on_round(agreed(family, address))
    await passed(clock, 1.0)
    reconciler, (spec,) = household.reconcilers["fake"], household.names
    assert reconciler.status(spec) == ("in-sync", "")
    household._on_round(agreed(Family.V4, "8.8.4.4"))
    await passed(clock, 0.0)
    assert household.memory.good[Family.V4].address == parse_address("8.8.4.4")
    assert reconciler.status(spec) == ("pending", "not published yet")
    await passed(clock, 1.0)
    assert reconciler.status(spec) == ("in-sync", "")


async def test_a_change_of_both_families_is_one_request(home: tuple[Household, FakeProvider, ManualClock]) -> None:
    """A family that follows the other within a moment goes along with it."""
    household, provider, clock = home
    for family, address in ((Family.V4, "8.8.8.8"), (Family.V6, "2a00::1")):
        household._on_round(agreed(family, address))
    await passed(clock, 1.0)
    provider.applied.clear()
    household._on_round(agreed(Family.V4, "8.8.4.4"))
    await passed(clock, 0.1)
    household._on_round(agreed(Family.V6, "2a00::2"))
    await passed(clock, 1.0)
    assert len(provider.applied) == 1
    assert provider.values(parse_name("www.example.org")) == {"8.8.4.4", "2a00::2"}
