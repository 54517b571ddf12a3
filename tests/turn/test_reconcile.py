"""The turn: observe, want, plan, guard, apply, record."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from homing import __version__
from homing.effects.clock import ManualClock
from homing.effects.metrics import Metrics
from homing.errors import ProviderBusy, ProviderLocked
from homing.model.address import Family, parse_address
from homing.model.lockout import Lockout
from homing.model.name import Name, parse_name
from homing.model.rrset import address_rrsets
from homing.providers.base import Traits
from homing.sources import InterfaceSource, StaticSource, View, WanSource
from homing.store import Store
from homing.turn.memory import Memory
from homing.turn.names import NameSpec
from homing.turn.reconcile import Reconciler
from tests.app.fake_provider import FakeProvider

WWW, MAIL = parse_name("www.example.org"), parse_name("mail.example.org")
BOTH = frozenset(Family)
HOME = View({Family.V4: parse_address("8.8.8.8"), Family.V6: parse_address("2a00:1450::1")})
MOVED = View({Family.V4: parse_address("8.8.4.4"), Family.V6: parse_address("2a00:1450::1")})
DYNDNS2 = Traits(readable=False, cooldown=60.0, parallel=1)


class House:
    """A reconciler with a store, a clock that stands still and one fake provider."""

    def __init__(self, directory: Path, provider: FakeProvider, *names: Name) -> None:
        self.clock = ManualClock()
        self.provider = provider
        self.store = Store(directory)
        self.memory = Memory(self.store)
        self.metrics = Metrics(__version__)
        self.names = [NameSpec(name, provider.name, WanSource(BOTH), 60, 300.0) for name in names or (WWW,)]
        self.reconciler = self.restarted_reconciler()

    def restarted_reconciler(self) -> Reconciler:
        """A reconciler that knows only what is on disk."""
        return Reconciler(
            self.provider,
            self.names,
            Memory(self.store),
            clock=self.clock,
            chance=random.Random(1),
            metrics=self.metrics,
        )

    def close(self) -> None:
        self.memory.close()
        self.reconciler.memory.close()
        self.store.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path, FakeProvider())
    yield found
    found.close()


@pytest.fixture
def strato(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path, FakeProvider("strato", DYNDNS2))
    yield found
    found.close()


async def test_a_new_address_is_published_and_an_unchanged_one_sends_nothing(house: House) -> None:
    """A8: the second turn makes no request; a changed address makes one."""
    await house.reconciler.turn(HOME)
    assert house.provider.values(WWW) == {"8.8.8.8", "2a00:1450::1"}
    await house.reconciler.turn(HOME)
    assert len(house.provider.applied) == 1
    await house.reconciler.turn(MOVED)
    assert house.provider.values(WWW) == {"8.8.4.4", "2a00:1450::1"}


async def test_not_seeing_is_not_knowing(house: House) -> None:
    """Law 1: when no address is known any more, or one family is not, names keep what they hold."""
    await house.reconciler.turn(HOME)
    await house.clock.advance(400)
    await house.reconciler.turn(View())
    await house.reconciler.turn(View({Family.V4: parse_address("8.8.8.8")}))
    assert house.provider.values(WWW) == {"8.8.8.8", "2a00:1450::1"}


async def test_drift_is_found_at_the_interval_and_repaired(house: House) -> None:
    """What somebody else changed at a readable provider is put right, and told."""
    await house.reconciler.turn(HOME)
    for item in address_rrsets(WWW, 60, [parse_address("1.1.1.1")]):
        house.provider.held[WWW, item.type] = item
    await house.clock.advance(299)
    await house.reconciler.turn(HOME)
    assert "1.1.1.1" in house.provider.values(WWW)
    await house.clock.advance(2)
    await house.reconciler.turn(HOME)
    assert house.provider.values(WWW) == {"8.8.8.8", "2a00:1450::1"}
    assert [event.kind for event in house.store.events()] == ["drift"]


async def test_one_bad_name_does_not_block_the_others(tmp_path: Path) -> None:
    """U9: a name that fails is tried again later, with backoff; the others are published."""
    house = House(tmp_path, FakeProvider(), WWW, MAIL)
    house.provider.fails = lambda name: ProviderBusy("http-500", "no") if name == WWW else None
    turn = await house.reconciler.turn(HOME)
    assert house.provider.values(MAIL)
    assert house.reconciler.status(house.names[0])[0] == "failed"
    reads = house.provider.reads
    await house.reconciler.turn(HOME)
    assert house.provider.reads == reads, "asked again before the backoff has passed"
    assert 0 < turn.next_at - house.clock.time() <= 10
    house.provider.fails = lambda _: None
    await house.clock.advance(10)
    await house.reconciler.turn(HOME)
    assert house.provider.values(WWW)
    assert house.reconciler.status(house.names[0]) == ("in-sync", "")
    house.close()


async def test_a_lockout_outlives_a_restart_and_ends_with_new_credentials(strato: House) -> None:
    """U7: no request while locked, not after a restart either; a changed password lifts it at once."""
    strato.provider.fails = lambda _: ProviderLocked("badauth", "badauth for www", account=True)
    await strato.reconciler.turn(HOME)
    assert len(strato.provider.applied) == 1
    strato.provider.fails = lambda _: None
    await strato.clock.advance(86400)
    reconciler = strato.restarted_reconciler()
    await reconciler.turn(HOME)
    assert len(strato.provider.applied) == 1
    assert reconciler.status(strato.names[0]) == ("locked", "badauth for www")
    strato.provider.password = "second"
    await reconciler.turn(HOME)
    assert len(strato.provider.applied) == 2
    assert reconciler.status(strato.names[0]) == ("in-sync", "")
    assert [event.kind for event in strato.store.events()] == ["recovered", "lockout"]
    assert strato.store.lockouts() == []
    reconciler.memory.close()


async def test_a_timed_lockout_ends_by_itself_and_not_before(strato: House) -> None:
    """911 waits 30 minutes, new credentials or not."""
    strato.provider.fails = lambda _: ProviderLocked("911", "911 from strato", account=True, seconds=1800)
    turn = await strato.reconciler.turn(HOME)
    assert turn.next_at == pytest.approx(strato.clock.time() + 1800)
    strato.provider.fails = lambda _: None
    strato.provider.password = "second"
    await strato.clock.advance(1799)
    await strato.reconciler.turn(HOME)
    assert len(strato.provider.applied) == 1
    await strato.clock.advance(1)
    await strato.reconciler.turn(HOME)
    assert len(strato.provider.applied) == 2


async def test_a_host_is_not_asked_for_twice_within_the_cooldown(strato: House) -> None:
    """A7: not within 60 s of the last request for that host, across a restart; then at once."""
    await strato.reconciler.turn(HOME)
    await strato.clock.advance(5)
    reconciler = strato.restarted_reconciler()
    turn = await reconciler.turn(MOVED)
    assert len(strato.provider.applied) == 1
    assert reconciler.status(strato.names[0])[0] == "held"
    assert turn.next_at == pytest.approx(strato.clock.time() + 55)
    await strato.clock.advance(55)
    await reconciler.turn(MOVED)
    assert len(strato.provider.applied) == 2
    reconciler.memory.close()


async def test_both_families_travel_in_one_request(strato: House) -> None:
    """U6: a change of IPv4 alone sends IPv6 along."""
    await strato.reconciler.turn(HOME)
    await strato.clock.advance(61)
    await strato.reconciler.turn(MOVED)
    assert {value for item in strato.provider.applied[-1].wanted for value in item.values} == {
        "8.8.4.4",
        "2a00:1450::1",
    }


async def test_a_private_address_never_reaches_a_public_provider(house: House) -> None:
    """Law 7; the reason names the remedy."""
    house.names[0] = NameSpec(WWW, "fake", StaticSource((parse_address("192.168.1.1"),)), 60, 300.0)
    house.reconciler.memory.close()
    house.reconciler = house.restarted_reconciler()
    await house.reconciler.turn(View())
    assert not house.provider.applied
    assert "allow_private" in house.reconciler.status(house.names[0])[1]


async def test_own_addresses_follow_the_machine_and_an_empty_list_changes_nothing(house: House) -> None:
    """A family that the machine lost goes; a machine without any address keeps its names (law 1)."""
    house.names[0] = NameSpec(WWW, "fake", InterfaceSource(BOTH), 60, 300.0)
    house.reconciler.memory.close()
    house.reconciler = house.restarted_reconciler()
    both = (parse_address("8.8.8.8"), parse_address("2a00:1450::1"))
    await house.reconciler.turn(View(own=both))
    await house.reconciler.turn(View(own=()))
    await house.reconciler.turn(View(own=None))
    assert house.provider.values(WWW) == {"8.8.8.8", "2a00:1450::1"}
    await house.reconciler.turn(View(own=both[:1]))
    assert house.provider.values(WWW) == {"8.8.8.8"}


async def test_what_is_about_to_be_asked_is_on_disk_before_it_is(strato: House) -> None:
    """Law 8: the request's time is written before the request goes out."""
    seen: list[object] = []
    strato.provider.before_apply = lambda: seen.append(dict(strato.store.last_requests()))
    await strato.reconciler.turn(HOME)
    assert seen == [{("strato", WWW): strato.clock.time()}]


async def test_a_disk_that_refuses_stops_no_name(house: House) -> None:
    """Names follow although nothing can be written; the trouble is told until the disk takes it again."""
    house.store._db.execute("PRAGMA query_only = ON")
    await house.reconciler.turn(HOME)
    assert house.provider.values(WWW) == {"8.8.8.8", "2a00:1450::1"}
    assert "cannot be written" in house.reconciler.memory.trouble
    house.store._db.execute("PRAGMA query_only = OFF")
    await house.reconciler.turn(MOVED)
    assert house.reconciler.memory.trouble == ""


async def test_a_preview_changes_nothing(house: House) -> None:
    """``plan`` reads and tells, and neither publishes nor waits for what is due."""
    plan = await house.reconciler.preview(HOME)
    assert [str(change) for item in plan.changes for change in item.changes] == [
        "A none -> 8.8.8.8",
        "AAAA none -> 2a00:1450::1",
    ]
    assert not house.provider.applied


async def test_updates_are_counted_and_kept(house: House) -> None:
    """Law 6: a change shows in metric and history, with B11's names too."""
    await house.reconciler.turn(HOME)
    text = house.metrics.exposition().decode()
    assert 'homing_provider_updates_total{provider="fake",result="ok"} 1.0' in text
    assert "esddns_dns_updates_total 1.0" in text
    assert 'homing_name_in_sync{fqdn="www.example.org",provider="fake"} 1.0' in text
    assert house.store.updates()[0].ok


async def test_a_clock_set_back_delays_nothing(house: House) -> None:
    """Drift is still looked for, and a failed name tried again, when the clock jumps back by a day."""
    await house.reconciler.turn(HOME)
    house.provider.fails = lambda _: ProviderBusy("http-500", "no")
    await house.clock.advance(400)
    await house.reconciler.turn(HOME)
    house.provider.fails = lambda _: None
    house.provider.held.clear()
    house.clock._now -= 86400
    await house.reconciler.turn(HOME)
    assert house.provider.values(WWW) == {"8.8.8.8", "2a00:1450::1"}


async def test_a_new_address_does_not_wait_for_an_old_failure(house: House) -> None:
    """A line that was down for hours comes back with another address: it is published at once, not after 15 minutes."""
    await house.reconciler.turn(HOME)
    house.provider.fails = lambda _: ProviderBusy("timeout", "no")
    for _ in range(8):
        await house.clock.advance(900)
        await house.reconciler.turn(HOME)
    house.provider.fails = lambda _: None
    await house.reconciler.turn(MOVED)
    assert house.provider.values(WWW) == {"8.8.4.4", "2a00:1450::1"}


async def test_a_wait_that_the_provider_asked_for_is_kept(house: House) -> None:
    """Retry-After holds though the address changes."""
    house.provider.fails = lambda _: ProviderBusy("http-429", "slow down", seconds=300)
    await house.reconciler.turn(HOME)
    house.provider.fails = lambda _: None
    await house.clock.advance(200)
    await house.reconciler.turn(MOVED)
    assert not house.provider.values(WWW)
    await house.clock.advance(101)
    await house.reconciler.turn(MOVED)
    assert house.provider.values(WWW) == {"8.8.4.4", "2a00:1450::1"}


async def test_another_account_holds_nothing_yet(strato: House) -> None:
    """The same provider key with another account or server: the address is sent there too."""
    await strato.reconciler.turn(HOME)
    await strato.clock.advance(61)
    strato.provider.user = "another account"
    reconciler = strato.restarted_reconciler()
    await reconciler.turn(HOME)
    assert len(strato.provider.applied) == 2
    reconciler.memory.close()


async def test_a_password_corrected_during_a_request_is_not_locked_out(strato: House) -> None:
    """The lockout belongs to the password the request was made with."""
    strato.provider.fails = lambda _: ProviderLocked("badauth", "badauth", account=True)
    strato.provider.before_apply = lambda: setattr(strato.provider, "password", "second")
    await strato.reconciler.turn(HOME)
    strato.provider.fails = lambda _: None
    await strato.clock.advance(61)
    await strato.reconciler.turn(HOME)
    assert len(strato.provider.applied) == 2


async def test_a_timed_lockout_starts_anew_when_the_clock_is_set_back(strato: House) -> None:
    """A pause of 30 minutes takes 30 minutes, not a day and 30 minutes."""
    strato.provider.fails = lambda _: ProviderLocked("911", "911 from strato", account=True, seconds=1800)
    await strato.reconciler.turn(HOME)
    strato.provider.fails = lambda _: None
    strato.clock._now -= 86400
    await strato.reconciler.turn(HOME)
    await strato.clock.advance(1799)
    await strato.reconciler.turn(HOME)
    assert len(strato.provider.applied) == 1
    await strato.clock.advance(2)
    await strato.reconciler.turn(HOME)
    assert len(strato.provider.applied) == 2


async def test_a_lockout_that_the_disk_refused_outlives_a_reload_and_is_written_later(strato: House) -> None:
    """A full disk forgets no lockout: it counts in memory, and reaches the disk once there is room."""
    strato.provider.fails = lambda _: ProviderLocked("abuse", "abuse", account=False)
    strato.store._db.execute("PRAGMA query_only = ON")
    await strato.reconciler.turn(HOME)
    strato.reconciler.memory.read_lockouts()
    assert [one.code for one in strato.reconciler.memory.lockouts] == ["abuse"]
    strato.store._db.execute("PRAGMA query_only = OFF")
    await strato.reconciler.memory.document("state", b"{}", 0.0)
    assert [one.code for one in strato.store.lockouts()] == ["abuse"]


async def test_lockouts_of_accounts_that_no_name_uses_are_not_counted(strato: House) -> None:
    """An old account's pause neither holds a name back nor shows in the metric."""
    await strato.reconciler.memory.locked(Lockout("strato", "old account", "", "badauth", "old", 0.0, None, "x"))
    await strato.reconciler.turn(HOME)
    assert strato.provider.applied
    assert 'homing_provider_lockouts{provider="strato"} 0.0' in strato.metrics.exposition().decode()
