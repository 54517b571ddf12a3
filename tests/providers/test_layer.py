"""An own zone with names of the cluster in it: who has a name, and what is told."""

from __future__ import annotations

from homing.effects.clock import ManualClock, settle
from homing.model.address import Family, parse_address
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType, address_rrsets, rrset, txt_rdata
from homing.model.zone import Zone
from homing.providers.zone import AGAIN, GATHER
from homing.providers.zone_template import ZoneTemplate
from tests.providers.changes import change
from tests.providers.test_zone import NOW, ORIGIN, TEMPLATE, House, template

HOME = parse_name("home.example.net")


def address(name: Name, text: str) -> RRset:
    (found,) = address_rrsets(name, 30, [parse_address(text)])
    return found


def area(*texts: str, name: str = "home.example.net") -> dict[tuple[Name, int], RRset | None]:
    """What area home has: addresses, or the text of a known name without."""
    owner = parse_name(name)
    found: dict[tuple[Name, int], RRset | None] = dict.fromkeys([(owner, 1), (owner, 28), (owner, 16)])
    for item in address_rrsets(owner, 30, map(parse_address, texts)):
        found[item.key] = item
    if not texts:
        found[owner, 16] = rrset(owner, RRType.TXT, 30, [txt_rdata(b"known")])
    return found


def held(changes: dict[tuple[Name, int], RRset | None]) -> list[RRset]:
    return [item for item in changes.values() if item is not None]


async def house(*texts: str, made: ZoneTemplate = TEMPLATE, clock: ManualClock | None = None) -> House:
    """A zone with area home in it."""
    found = House(clock=clock)
    await found.provider.put(made, [], cluster=lambda: held(area(*texts)))
    return found


async def follow(found: House, changes: dict[tuple[Name, int], RRset | None]) -> Zone:
    """Take over what changed; the version then."""
    found.provider.follow(ORIGIN, changes)
    for _ in range(3):  # the gathering, the saving
        await settle()
    return found.zone


def at(zone: Zone, name: str = "home.example.net") -> set[str]:
    """Addresses and type names at a name."""
    types = zone.nodes.get(parse_name(name), {})
    return {value for item in types.values() if item.type in (1, 28) for value in item.values} | {
        {16: "TXT", 5: "CNAME"}[rtype] for rtype in types if rtype in (16, 5)
    }


async def test_changes_of_the_cluster_are_served_in_one_version() -> None:
    """Those close together; nothing changes with what is served already."""
    found = await house("192.0.2.1")
    serial = found.zone.serial
    found.provider.follow(ORIGIN, area("192.0.2.2"))
    found.provider.follow(ORIGIN, area("192.0.2.3", name="cloud.example.net"))
    assert found.zone.serial == serial
    zone = await follow(found, area("192.0.2.4", "2001:db8::4"))
    assert (at(zone), at(zone, "cloud.example.net")) == ({"192.0.2.4", "2001:db8::4"}, {"192.0.2.3"})
    assert zone.serial == serial + 1
    assert (await follow(found, area("192.0.2.4", "2001:db8::4"))).serial == serial + 1
    assert at(await follow(found, area())) == {"TXT"}


async def test_a_domain_has_a_name_before_the_cluster() -> None:
    """As a whole, and the area is told; the area has it again when the Domain gives it up."""
    found = await house("192.0.2.1", "2001:db8::1")
    assert await found.provider.read(HOME) == ()
    await found.provider.apply(change("home.example.net", [], "203.0.113.7"))
    assert at(found.zone) == {"203.0.113.7"}
    assert found.provider.hidden(ORIGIN) == {HOME: "a Domain has it"}
    assert found.provider.published(ORIGIN) == {HOME}
    serial = found.zone.serial
    assert at(await follow(found, area("192.0.2.2"))) == {"203.0.113.7"}
    assert found.zone.serial == serial
    before = list(await found.provider.read(HOME))
    await found.provider.apply(change("home.example.net", before, gone=[Family.V4]))
    assert at(found.zone) == {"192.0.2.2"}
    assert (found.provider.hidden(ORIGIN), found.provider.published(ORIGIN)) == ({}, frozenset())


async def test_a_fixed_record_stands_before_the_cluster() -> None:
    """An address or an alias takes the name, other types stand beside; a new template counts at once."""
    text = rrset(HOME, RRType.TXT, 30, [txt_rdata(b"mine")])
    found = await house("192.0.2.1", made=template(address(HOME, "192.0.2.99")))
    assert at(found.zone) == {"192.0.2.99"}
    assert found.provider.hidden(ORIGIN) == {HOME: "it is a fixed record"}
    await found.provider.put(template(text))
    assert at(found.zone) == {"192.0.2.1", "TXT"}
    await follow(found, area())
    assert found.zone.nodes[HOME][RRType.TXT] == text
    alias = rrset(HOME, RRType.CNAME, 30, [parse_name("www.example.org").wire])
    await found.provider.put(template(alias))
    assert at(found.zone) == {"CNAME"}
    assert at(await follow(found, area("192.0.2.3"))) == {"CNAME"}
    await found.provider.put(TEMPLATE)
    assert at(found.zone) == {"192.0.2.3"}


async def test_a_new_view_of_the_whole_cluster_leaves_published_names() -> None:
    """What it does not hold any more goes."""
    found = await house("192.0.2.1")
    await found.provider.apply(change("www.example.net", [], "203.0.113.7"))
    await found.provider.put(TEMPLATE, cluster=lambda: held(area("192.0.2.3", name="cloud.example.net")))
    assert [at(found.zone, f"{name}.example.net") for name in ("home", "cloud", "www")] == [
        set(),
        {"192.0.2.3"},
        {"203.0.113.7"},
    ]
    await found.provider.put(TEMPLATE, cluster=tuple)
    assert [at(found.zone, f"{name}.example.net") for name in ("cloud", "www")] == [set(), {"203.0.113.7"}]


async def test_what_cannot_be_saved_is_tried_again() -> None:
    """The cluster says a thing once."""
    clock = ManualClock(NOW)
    found = await house("192.0.2.1", clock=clock)
    found.full = True
    found.provider.follow(ORIGIN, area("192.0.2.2"))
    await clock.advance(GATHER)
    assert at(found.zone) == {"192.0.2.1"}
    found.full = False
    await clock.advance(AGAIN)
    await clock.advance(GATHER)
    assert at(found.zone) == {"192.0.2.2"}


async def test_a_change_of_the_cluster_waits_for_none_but_a_version_made_just_before() -> None:
    """The first is served at once; those that come within the gathering share the next version."""
    clock = ManualClock(NOW)
    found = await house("192.0.2.1", clock=clock)
    await clock.advance(1.0)
    before = found.zone.serial
    found.provider.follow(ORIGIN, area("192.0.2.2"))
    await settle()
    assert (at(found.zone), found.zone.serial) == ({"192.0.2.2"}, before + 1)
    for number in (3, 4):
        found.provider.follow(ORIGIN, area(f"192.0.2.{number}"))
        await clock.advance(GATHER / 3)
    assert found.zone.serial == before + 1
    await clock.advance(GATHER)
    assert (at(found.zone), found.zone.serial) == ({"192.0.2.4"}, before + 2)
