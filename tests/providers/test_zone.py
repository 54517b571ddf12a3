"""The own zone as a provider: versions, serials, what is saved before it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from homing.dns.authority import Authority, Change
from homing.effects.clock import ManualClock, settle
from homing.errors import ModelError, ProviderBusy, ProviderRefused, StoreError
from homing.model.address import Family
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType, rrset
from homing.model.zone import Zone, ZoneDiff, diff, serial_add, serial_gt
from homing.plan import NameChange
from homing.providers.zone import GATHER, ZoneProvider
from homing.providers.zone_template import ZoneTemplate, zone_template
from tests.providers.changes import change

ORIGIN = parse_name("example.net")
WWW = parse_name("www.example.net")
NS1 = parse_name("ns1.example.net")
NOW = 1_700_000_000.0
TEMPLATE = zone_template(ORIGIN, {NS1: [IPv4Address("192.0.2.53")]}, parse_name("admin.example.net"))


class Hurried(ManualClock):
    """A clock that jumps to where a sleeper wants it."""

    async def sleep(self, seconds: float) -> None:
        """Let others run, no more."""
        await settle()


class House:
    """A provider with its authority and its disk."""

    def __init__(self, *templates: ZoneTemplate, now: float = NOW, clock: ManualClock | None = None) -> None:
        self.authority = Authority()
        self.saved: list[Zone] = []
        self.full = False
        clock = clock or Hurried(now)
        self.provider = ZoneProvider("own", self.authority, templates or (TEMPLATE,), self._save, clock)

    async def _save(self, change: Change) -> None:
        if self.full:
            raise StoreError("/state: no space left")
        await asyncio.sleep(0)
        assert change.after is not None
        if change.before is not None:
            assert change.diff is not None
            found = diff(change.before, change.after)
            assert (set(change.diff.removed), set(change.diff.added)) == (set(found.removed), set(found.added))
        self.saved.append(change.after)

    @property
    def zone(self) -> Zone:
        """The version served."""
        served = self.authority.zone(ORIGIN)
        assert served is not None
        return served

    async def addresses(self) -> set[str]:
        """What www holds."""
        return {value for item in await self.provider.read(WWW) for value in item.values}


async def started(*templates: ZoneTemplate, last_good: tuple[Zone, ...] = (), now: float = NOW) -> House:
    house = House(*templates, now=now)
    await house.provider.start(last_good)
    return house


async def test_it_is_readable_and_not_public() -> None:
    """Private addresses may go there, and what is there can be read."""
    traits = House().provider.traits
    assert (traits.readable, traits.public) == (True, False)


async def test_without_state_the_serial_is_unix_time() -> None:
    """The first version ever has the time as its serial, is saved and served."""
    house = await started()
    assert house.zone.serial == int(NOW)
    assert house.saved == [house.zone]
    assert {item.type for item in house.zone.rrsets()} == {RRType.NS, RRType.A}
    assert house.zone.soa.mname == NS1


async def test_a_change_is_saved_before_it_is_served() -> None:
    """While the next version is being saved the version before is served."""
    house = await started()
    served_while_saving: list[int] = []
    house.authority.listen(lambda change: served_while_saving.append(len(house.saved)))
    await house.provider.apply(change("www.example.net", [], "192.0.2.1", "2001:db8::1"))
    assert served_while_saving == [2]
    assert house.saved[-1] is house.zone
    assert house.zone.serial == int(NOW) + 1
    assert await house.addresses() == {"192.0.2.1", "2001:db8::1"}


async def test_names_that_the_settings_no_longer_speak_of_go() -> None:
    """A start with other names serves only those, with a new serial; their addresses stay as they were."""
    house = await started()
    await house.provider.apply(change("www.example.net", [], "192.0.2.1", "2001:db8::1"))
    await house.provider.apply(change("old.example.net", [], "192.0.2.2"))
    serial = house.zone.serial
    await house.provider.start((), {(WWW, RRType.A)})
    assert await house.addresses() == {"192.0.2.1"}
    assert parse_name("old.example.net") not in house.zone.nodes
    assert house.zone.serial == serial + 1


async def test_a_full_disk_keeps_the_version_before() -> None:
    """What cannot be saved is not served; the provider is busy and the next attempt works."""
    house = await started()
    wanted = change("www.example.net", [], "192.0.2.1")
    house.full = True
    with pytest.raises(ProviderBusy, match="no space left"):
        await house.provider.apply(wanted)
    assert (house.zone.serial, await house.addresses()) == (int(NOW), set())
    house.full = False
    await house.provider.apply(wanted)
    assert (house.zone.serial, await house.addresses()) == (int(NOW) + 1, {"192.0.2.1"})


async def test_an_equal_change_leaves_serial_and_disk_alone() -> None:
    """The same content again is neither saved nor a new version."""
    house = await started()
    wanted = change("www.example.net", [], "192.0.2.1")
    await house.provider.apply(wanted)
    await house.provider.apply(wanted)
    assert (house.zone.serial, len(house.saved)) == (int(NOW) + 1, 2)


async def test_a_family_goes_alone() -> None:
    """Removing the IPv6 address keeps the IPv4 address; removing all removes the name."""
    house = await started()
    await house.provider.apply(change("www.example.net", [], "192.0.2.1", "2001:db8::1"))
    await house.provider.apply(change("www.example.net", ["192.0.2.1", "2001:db8::1"], "192.0.2.1", gone=[Family.V6]))
    assert await house.addresses() == {"192.0.2.1"}
    await house.provider.apply(change("www.example.net", ["192.0.2.1"], gone=[Family.V4]))
    assert WWW not in house.zone.nodes


async def test_changes_at_the_same_time_are_all_kept() -> None:
    """Twenty names changed at once are one version, saved once, that has them all."""
    house = await started()
    await asyncio.gather(
        *(house.provider.apply(change(f"n{number}.example.net", [], "192.0.2.1")) for number in range(20))
    )
    assert house.zone.serial == int(NOW) + 1
    assert len(house.saved) == 2
    assert len(house.provider.changeable()) == 20


async def test_changes_within_the_gathering_share_a_version() -> None:
    """What comes while changes are gathered is in their version; what comes while that is saved is in the next."""
    clock = ManualClock(NOW)
    house = House(clock=clock)
    await house.provider.start()

    async def begin(label: str) -> asyncio.Task[None]:
        task = asyncio.create_task(house.provider.apply(change(f"{label}.example.net", [], "192.0.2.1")))
        await settle()
        return task

    first = await begin("a")
    await clock.advance(GATHER * 0.9)
    second = await begin("b")
    assert not first.done()
    assert house.zone.serial == int(NOW)
    await clock.advance(GATHER * 0.2)
    await asyncio.gather(first, second)
    assert house.zone.serial == int(NOW) + 1
    third = await begin("c")
    await clock.advance(GATHER * 1.1)
    await third
    assert house.zone.serial == int(NOW) + 2


async def test_one_impossible_change_leaves_the_others_alone() -> None:
    """Of changes gathered together only the one that contradicts the zone is refused."""
    alias = rrset(WWW, RRType.CNAME, 60, [NS1.wire])
    house = await started(ZoneTemplate(ORIGIN, TEMPLATE.soa, (*TEMPLATE.static, alias)))
    good, bad = await asyncio.gather(
        house.provider.apply(change("a.example.net", [], "192.0.2.1")),
        house.provider.apply(change("www.example.net", [], "192.0.2.1")),
        return_exceptions=True,
    )
    assert good is None
    assert isinstance(bad, ProviderRefused)
    assert {item.name.text for item in house.provider.changeable()} == {"a.example.net"}


async def test_a_fault_of_our_own_reaches_who_waits() -> None:
    """A bug in saving is neither swallowed nor left waiting, and the next change works."""
    house = await started()
    wanted = change("www.example.net", [], "192.0.2.1")

    async def broken(change: Change) -> None:
        raise ZeroDivisionError

    house.provider._save, save = broken, house.provider._save
    with pytest.raises(ZeroDivisionError):
        await house.provider.apply(wanted)
    house.provider._save = save
    await house.provider.apply(wanted)
    assert await house.addresses() == {"192.0.2.1"}


async def test_serials_that_may_have_been_served_are_not_used_again() -> None:
    """After an end that was not clean the same content gets the serial above all that may have been served."""
    before = (await started()).zone
    after = House()
    heard: list[Change] = []
    after.authority.listen(heard.append)
    await after.provider.start([before], greatest={ORIGIN: before.serial + 1000})
    assert after.zone.serial == before.serial + 1001
    assert after.saved == [after.zone]
    assert heard[-1].before == before, "secondaries get there by a step"
    assert heard[-1].diff == ZoneDiff((), ())


async def test_of_an_unreadable_zone_the_serials_are_still_known() -> None:
    """Without a last good version the serial is above what may have been served, not asked for and not the time."""
    house = House()
    await house.provider.start(greatest={ORIGIN: 41})
    assert house.zone.serial == 42


async def test_without_any_state_the_first_serial_is_asked_for() -> None:
    """What the secondaries say is taken where there is neither a zone nor a serial."""
    house = House()

    async def ask(origins: Collection[Name]) -> dict[Name, int]:
        return dict.fromkeys(origins, 77)

    await house.provider.start(first=ask)
    assert house.zone.serial == 77


async def test_a_secondary_that_is_ahead_is_overtaken() -> None:
    """The same content gets a serial above the secondary's; one that is not ahead changes nothing."""
    house = await started()
    content = house.zone.nodes
    await house.provider.overtake(ORIGIN, int(NOW) + 50)
    assert house.zone.serial == int(NOW) + 51
    assert house.zone.nodes == content
    assert house.saved[-1] == house.zone
    await house.provider.overtake(ORIGIN, int(NOW) + 50)
    assert house.zone.serial == int(NOW) + 51


async def test_a_secondary_half_the_circle_ahead_is_overtaken_at_the_next_change() -> None:
    """No serial is above one that is 2**31 - 1 ahead and above the own one too (RFC 1982); one later there is."""
    house = await started()
    ahead = (int(NOW) + 2**31 - 1) % 2**32
    await house.provider.overtake(ORIGIN, ahead)
    assert house.zone.serial == int(NOW)
    await house.provider.apply(change("www.example.net", [], "192.0.2.1"))
    await house.provider.overtake(ORIGIN, ahead)
    assert house.zone.serial == serial_add(ahead, 1)


@pytest.mark.parametrize("jump", [1, 1000, 2**31 - 1, 2**31, 2**31 + 5, 2**31 + 1000, 2**32 - 1])
@pytest.mark.parametrize("unsure", [0, 1000])
async def test_no_jump_of_a_master_files_serial_stops_a_start(jump: int, unsure: int) -> None:
    """The serial grows whatever the file says, and whatever may have been served before."""
    before = (await started()).zone
    house = House(replace(TEMPLATE, serial=(before.serial + jump) % 2**32))
    await house.provider.start([before], greatest={ORIGIN: before.serial + unsure} if unsure else {})
    assert house.zone.serial == before.serial or serial_gt(house.zone.serial, before.serial)
    assert not unsure or serial_gt(house.zone.serial, before.serial + unsure) or jump > 2**31 - 1000


async def test_two_providers_of_a_zone_make_one_version_after_another() -> None:
    """While new settings are taken over, a change by the old ones neither fails nor gets lost."""
    house = await started()
    soa = replace(TEMPLATE.soa, minimum=77)
    again = ZoneProvider("own", house.authority, [replace(TEMPLATE, soa=soa)], house._save, Hurried(NOW))
    await asyncio.gather(house.provider.overtake(ORIGIN, int(NOW) + 50), again.start([house.zone]))
    assert (house.zone.serial, house.zone.soa.minimum) == (int(NOW) + 52, 77)
    assert house.saved[-1] == house.zone


async def test_a_cancelled_change_leaves_those_gathered_with_it() -> None:
    """Who stops waiting neither loses the others' changes nor has them made twice."""
    house = await started()
    first = asyncio.ensure_future(house.provider.apply(change("www.example.net", [], "192.0.2.1")))
    others = [
        asyncio.ensure_future(house.provider.apply(change(f"n{number}.example.net", [], "192.0.2.2")))
        for number in range(5)
    ]
    await asyncio.sleep(0)
    first.cancel()
    others[2].cancel()
    await asyncio.gather(first, *others, return_exceptions=True)
    assert house.zone.serial == int(NOW) + 1
    assert {f"n{number}.example.net" for number in (0, 1, 3, 4)} <= {name.text for name in house.zone.nodes}
    await house.provider.apply(change("www.example.net", [], "192.0.2.3"))
    assert await house.addresses() == {"192.0.2.3"}
    await house.provider.aclose()


async def test_a_restart_serves_the_last_good_version_with_its_serial() -> None:
    """The same content after a restart has the same serial and needs no disk; the time does not matter."""
    before = await started()
    await before.provider.apply(change("www.example.net", [], "192.0.2.1"))
    after = House(now=NOW + 86400)
    after.full = True
    await after.provider.start([before.saved[-1]])
    assert after.zone == before.zone
    assert await after.addresses() == {"192.0.2.1"}


@pytest.mark.parametrize(
    "template",
    [
        zone_template(ORIGIN, {NS1: [IPv4Address("192.0.2.54")]}, parse_name("admin.example.net")),
        zone_template(ORIGIN, {NS1: [IPv4Address("192.0.2.53")]}, parse_name("other.example.net")),
    ],
)
async def test_a_restart_with_other_settings_is_the_next_version(template: ZoneTemplate) -> None:
    """A changed static record or SOA field is one version on, and saved; addresses published before stay."""
    before = await started()
    await before.provider.apply(change("www.example.net", [], "192.0.2.1"))
    after = await started(template, last_good=(before.zone,))
    assert after.zone.serial == before.zone.serial + 1
    assert after.saved == [after.zone]
    assert await after.addresses() == {"192.0.2.1"}


async def test_new_settings_while_running_start_from_what_is_served() -> None:
    """A provider made anew on the same authority goes on from the version served, whatever the disk says."""
    house = await started()
    old = house.zone
    await house.provider.apply(change("www.example.net", [], "192.0.2.1"))
    again = ZoneProvider("own", house.authority, [TEMPLATE], house._save, Hurried(NOW))
    await again.start([old])
    assert house.zone.serial == int(NOW) + 1
    assert await house.addresses() == {"192.0.2.1"}


async def test_a_name_outside_is_refused_with_the_zones_there_are() -> None:
    """Reading and changing a name in none of the zones is refused, with a remedy."""
    house = await started()
    with pytest.raises(ProviderRefused, match=r"www.other.test is in none of its zones \(example.net\); add the zone"):
        await house.provider.read(parse_name("www.other.test"))
    with pytest.raises(ProviderRefused):
        await house.provider.apply(change("www.other.test", [], "192.0.2.1"))


async def test_a_fixed_record_cannot_be_overwritten() -> None:
    """The address of the name server comes from the settings and stays."""
    house = await started()
    with pytest.raises(ProviderRefused, match="fixed record"):
        await house.provider.apply(change("ns1.example.net", ["192.0.2.53"], "192.0.2.99"))
    assert house.zone.serial == int(NOW)


async def test_an_address_beside_a_cname_is_refused() -> None:
    """A change that makes an impossible zone is refused and changes nothing."""
    alias = rrset(WWW, RRType.CNAME, 60, [NS1.wire])
    house = await started(ZoneTemplate(ORIGIN, TEMPLATE.soa, (*TEMPLATE.static, alias)))
    with pytest.raises(ProviderRefused, match="CNAME"):
        await house.provider.apply(change("www.example.net", [], "192.0.2.1"))
    assert house.zone.serial == int(NOW)


async def test_before_the_start_it_is_busy() -> None:
    """A zone that is not loaded yet is no reason to give up."""
    with pytest.raises(ProviderBusy):
        await House().provider.read(WWW)


async def test_the_lower_zone_takes_the_name() -> None:
    """With a zone and a zone below it the change goes to the longer match."""
    below = zone_template(
        parse_name("sub.example.net"), {parse_name("ns.example.org"): []}, parse_name("admin.example.net")
    )
    house = await started(TEMPLATE, below)
    await house.provider.apply(change("a.sub.example.net", [], "192.0.2.1"))
    served = house.authority.zone(parse_name("sub.example.net"))
    assert served is not None
    assert (house.zone.serial, served.serial) == (int(NOW), int(NOW) + 1)


@pytest.mark.parametrize("servers", [{}, {NS1: []}])
def test_a_zone_needs_a_server_and_its_glue(servers: dict[object, object]) -> None:
    """No name server, or one inside the zone without an address, is an error."""
    with pytest.raises(ModelError, match="name server"):
        zone_template(ORIGIN, servers, parse_name("admin.example.net"))  # type: ignore[arg-type]


def test_changes_are_what_plan_makes() -> None:
    """The changes used here are those of plan.diff."""
    assert isinstance(change("www.example.net", [], "192.0.2.1"), NameChange)


# Zones that come and go

OTHER = parse_name("example.org")
STATIC = rrset(WWW, RRType.TXT, 60, [b"\x01a"])


def template(*static: RRset, origin: Name = ORIGIN) -> ZoneTemplate:
    """The zone with more static records."""
    servers = {parse_name("ns.example.com"): None}
    made = zone_template(origin, servers, parse_name("admin.example.net"))
    return replace(made, static=(*made.static, *static))


async def test_a_zone_comes_and_goes() -> None:
    """Others stay as they are; what is published in one that is gone is tried again later."""
    house = await started()
    before = house.zone
    await house.provider.put(template(origin=OTHER), least=7)
    await house.provider.apply(change("www.example.org", [], "203.0.113.1"))
    served = house.authority.zone(OTHER)
    assert served is not None
    assert served.serial == 8
    await house.provider.drop(OTHER)
    assert house.authority.zone(OTHER) is None
    with pytest.raises(ProviderRefused, match="in none of its zones"):
        await house.provider.apply(change("www.example.org", [], "203.0.113.2"))
    assert house.zone is before


async def test_another_template_keeps_what_follows_addresses() -> None:
    """Static records that are gone go, the others stay; the serial grows by one, and not without a change."""
    house = House(template(STATIC))
    await house.provider.put(template(STATIC, address(NS1, "192.0.2.1")), least=5)
    await house.provider.apply(change("www.example.net", [], "203.0.113.1"))
    assert house.zone.serial == 6
    await house.provider.put(template(STATIC))
    assert (house.zone.serial, NS1 in house.zone.nodes) == (7, False)
    assert await house.addresses() == {"203.0.113.1"}
    await house.provider.put(template(STATIC))
    assert house.zone.serial == 7
    await house.provider.put(template(STATIC), least=99)
    assert house.zone.serial == 99


async def test_static_records_stand_before_what_follows_addresses() -> None:
    """An equal key, a CNAME, a delegation and a DNAME above: the address goes, and cannot come back."""
    house = House(template())
    await house.provider.put(template())
    for blocking in (
        address(WWW, "192.0.2.1"),
        rrset(WWW, RRType.CNAME, 60, [NS1.wire]),
        rrset(WWW, RRType.NS, 60, [NS1.wire]),
        rrset(ORIGIN, RRType.DNAME, 60, [OTHER.wire]),
    ):
        await house.provider.put(template())
        await house.provider.apply(change("www.example.net", [], "203.0.113.1"))
        await house.provider.put(template(blocking))
        assert "203.0.113.1" not in await house.addresses()
        with pytest.raises(ProviderRefused, match=r"www\.example\.net"):
            await house.provider.apply(change("www.example.net", [], "203.0.113.1"))


async def test_static_records_that_contradict_each_other_change_nothing() -> None:
    """The zone stays as it was."""
    house = await started()
    before = house.zone
    with pytest.raises(ModelError, match="CNAME"):
        await house.provider.put(template(STATIC, rrset(WWW, RRType.CNAME, 60, [NS1.wire])))
    assert house.zone is before


async def test_the_same_zones_under_another_name() -> None:
    """What one publishes the other reads; each says its own name."""
    house = await started()
    other = house.provider.named("second")
    await other.apply(change("www.example.net", [], "203.0.113.1"))
    assert await house.addresses() == {"203.0.113.1"}
    await house.provider.put(template(origin=OTHER))
    with pytest.raises(ProviderRefused, match="provider second"):
        await other.apply(change("www.example.com", [], "203.0.113.1"))
    await other.apply(change("www.example.org", [], "203.0.113.1"))
    assert (house.provider.name, other.name) == ("own", "second")


def address(name: Name, text: str) -> RRset:
    """An A RRset."""
    return rrset(name, RRType.A, 60, [IPv4Address(text).packed])
