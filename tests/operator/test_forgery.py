"""What users may write of their own objects gives them no right that they do not have."""

from __future__ import annotations

import asyncio

import pytest

from homing.kube.kinds import CLUSTER_PROVIDERS, DOMAINS, STRATO_DOMAINS
from homing.model.name import parse_name
from homing.operator.entry import ProviderId, Which
from tests.operator.house import House, published

DELETED = {"deletionTimestamp": "2023-11-14T22:13:00Z"}
"""Shortly before the clock's beginning."""

CLUSTER = {"kind": "ClusterProvider", "name": "cluster"}

VICTIM = "203.0.113.99"


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    """A ClusterProvider that lets namespace ``ns`` publish below apps.example.org, with a record of somebody else."""
    made = House(monkeypatch)
    made.cluster_provider("cluster", allowedDomains=["apps.example.org"])
    made.at(ProviderId("ClusterProvider", "", "cluster")).write("www.example.org", VICTIM)
    return made


def forged(fqdn: str = "www.example.org") -> dict[str, object]:
    """A status that claims the record of somebody else."""
    return published("cluster", fqdn, VICTIM, kind="ClusterProvider")


@pytest.mark.parametrize("metadata", [DELETED, {}], ids=["deleted", "moved"])
async def test_a_forged_status_removes_no_name_that_is_not_allowed(house: House, metadata: dict[str, str]) -> None:
    """allowedDomains hold for the name that goes, not for the one in the spec."""
    which = house.domain(
        "a", "a.apps.example.org", provider=CLUSTER, metadata=metadata, status=forged(), deletionPolicy="Delete"
    )
    await house.turn(which)
    assert house.records["cluster"].values("www.example.org") == [VICTIM]
    assert any(reason == "RecordRetained" and "does not allow www.example.org" in told for reason, told in house.said())


@pytest.mark.parametrize("metadata", [DELETED, {}], ids=["deleted", "moved"])
@pytest.mark.parametrize("enabled", [True, False])
async def test_a_forged_status_removes_no_name_of_another_domain(
    house: House, metadata: dict[str, str], *, enabled: bool
) -> None:
    """What another Domain has a right to stays, also while that one is paused."""
    house.cluster_provider("cluster")
    victim = house.domain("victim", "www.example.org", VICTIM, CLUSTER, namespace="other", enabled=enabled)
    await house.turn(victim)
    which = house.domain(
        "a",
        "a.apps.example.org",
        provider=CLUSTER,
        metadata={"finalizers": ["homing.dev/record"], **metadata},
        status=forged(),
        deletionPolicy="Delete",
    )
    await house.turn(which)
    assert house.records["cluster"].values("www.example.org") == [VICTIM]
    assert any("Domain other/victim has it too" in told for _, told in house.said())


async def test_a_namespace_that_is_no_longer_allowed_removes_nothing(house: House) -> None:
    """allowedNamespaces are those of now."""
    house.cluster_provider("cluster", allowedNamespaces=["other"])
    which = house.domain(
        "a", "b.example.org", provider=CLUSTER, status=forged(), metadata=DELETED, deletionPolicy="Delete"
    )
    await house.turn(which)
    assert house.records["cluster"].values("www.example.org") == [VICTIM]


async def test_what_is_ones_own_still_goes(house: House) -> None:
    """The policy Delete removes what the status tells, where it is allowed and nobody else's."""
    records = house.at(ProviderId("ClusterProvider", "", "cluster"))
    records.write("a.apps.example.org", "203.0.113.1")
    status = published("cluster", "a.apps.example.org", "203.0.113.1", kind="ClusterProvider")
    metadata = {"finalizers": ["homing.dev/record"], **DELETED}
    which = house.domain(
        "a", "a.apps.example.org", provider=CLUSTER, metadata=metadata, status=status, deletionPolicy="Delete"
    )
    await house.turn(which)
    assert records.values("a.apps.example.org") == []
    assert house.lifted("ns/a")


async def test_another_account_of_one_service_keeps_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Provider that is renamed takes the name over; it is not removed in between."""
    house = House(monkeypatch)
    house.provider("old")
    house.provider("new")
    house.records["new"] = house.at(ProviderId("Provider", "ns", "old"))
    which = house.domain("a", "www.example.org", provider={"name": "old"}, deletionPolicy="Delete")
    await house.turn(which)
    house.domain("a", "www.example.org", provider={"name": "new"}, deletionPolicy="Delete", metadata={"generation": 2})
    await house.turn(which)
    removals = [change for change in house.records["old"].applied if any(item.after is None for item in change.changes)]
    assert removals == []
    assert house.records["old"].values("www.example.org") == ["203.0.113.1"]


async def test_zones_serve_nothing_that_a_forged_status_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new leader of homing dns begins with what Domains ask for and may publish, whatever their statuses say."""
    house = House(monkeypatch)
    spec = {"zone": {}, "allowedDomains": ["example.org"], "allowedNamespaces": ["ns"]}
    house.put(CLUSTER_PROVIDERS, "own", spec=spec)
    own = {"kind": "ClusterProvider", "name": "own"}
    good = published("own", "a.example.org", "203.0.113.1", kind="ClusterProvider")
    house.domain("a", "a.example.org", provider=own, status=good)
    other_name = published("own", "b.example.org", VICTIM, kind="ClusterProvider")
    house.domain("b", "c.example.org", provider=own, status=other_name)
    house.domain("d", "d.example.org", provider=own, namespace="evil", status={**good, "fqdn": "d.example.org"})
    house.domain("e", "e.example.org", provider=own, status={**good, "fqdn": "e.example.org", "ttlSeconds": -5})
    held = house.term.held(parse_name("example.org"))
    assert {item.name.text for item in held} == {"a.example.org", "e.example.org"}


@pytest.mark.parametrize("said", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "2300-01-01T00:00:00Z"])
async def test_a_forged_time_delays_nothing(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """The record is looked at, the status can be written, and the time of the last success is none of the future."""
    house = House(monkeypatch)
    house.provider("gandi")
    synced = [{"type": "Synced", "status": "True", "reason": "x", "message": "", "lastTransitionTime": said}]
    status = published("gandi", "www.example.org", "203.0.113.1", lastSync=said, lastAttempt=said, conditions=synced)
    which = house.domain("a", "www.example.org", status=status)
    house.at(ProviderId("Provider", "ns", "gandi")).write("www.example.org", "203.0.113.66")
    for _ in range(3):
        await house.turn(which)
        await house.clock.advance(400)
    assert house.records["gandi"].values("www.example.org") == ["203.0.113.1"]
    assert house.term.domains.reports[which].last_sync <= house.clock.time()


async def test_a_failed_move_claims_nothing_of_the_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the new name is published the status has neither it nor the old addresses: the next leader tries again."""
    house = House(monkeypatch)
    house.provider("gandi")
    which = house.domain("a", "old.example.org")
    await house.turn(which)
    house.at(ProviderId("Provider", "ns", "gandi")).locked = True
    known = {key: value for key, value in house.status("ns/a").items() if value is not None}
    house.domain("a", "new.example.org", metadata={"generation": 2}, status=known)
    await house.turn(which)
    status = house.status("ns/a")
    assert (status["fqdn"], status["addresses"], status["providerRef"]) == (None, [], None)


async def test_a_domain_made_anew_during_a_turn_begins_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the turn of the old one learnt is neither told of the new one nor removed by its policy."""
    house = House(monkeypatch)
    house.provider("gandi")
    which = house.domain("a", "old.example.org")
    records = house.at(ProviderId("Provider", "ns", "gandi"))

    async def made_anew() -> None:
        records.during = None
        house.drop(DOMAINS, "a", "ns")
        house.domain("a", "new.example.org", metadata={"uid": "another"}, deletionPolicy="Delete")

    records.during = made_anew
    await house.turn(which)
    assert house.term.domains.reports == {}
    await house.turn(which)
    assert records.values("old.example.org") == ["203.0.113.1"]
    assert records.values("new.example.org") == ["203.0.113.1"]
    house.drop(DOMAINS, "a", "ns")
    assert "example.org" not in house.metrics.exposition().decode()


async def test_a_domain_gone_during_a_turn_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a report nor a figure."""
    house = House(monkeypatch)
    house.provider("gandi")
    which = house.domain("a", "old.example.org")

    async def gone() -> None:
        house.drop(DOMAINS, "a", "ns")

    house.at(ProviderId("Provider", "ns", "gandi")).during = gone
    await house.turn(which)
    assert (house.term.domains.reports, house.term.memory.published) == ({}, {})
    assert "example.org" not in house.metrics.exposition().decode()


async def test_drift_is_told_of_the_domain_that_saw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another namespace with a Domain of the same name elsewhere does not learn of it."""
    house = House(monkeypatch)
    house.provider("gandi")
    house.provider("knot", "evil", gandi=None, rfc2136={"server": "ns1.example.org", "tsigKeyName": "k"})
    house.client.secrets["evil", "token"] = {"key": b"aGVsbG8="}
    mine = house.domain("mine", "www.example.org")
    other = house.domain("other", "www.example.org", provider={"name": "knot"}, namespace="evil")
    await house.turn(mine)
    await house.turn(other)
    house.records["gandi"].write("www.example.org", "10.1.2.3")
    await house.clock.advance(400)
    await house.turn(mine)
    told = [key[0].namespace for key in house.term.recorder._queue if key[2] == "DriftFound"]
    assert told == ["ns"]


async def test_a_deletion_with_a_bad_token_locks_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand Domains that are deleted do not ask a thousand times with a token that is refused."""
    house = House(monkeypatch)
    house.provider("gandi")
    domains = []
    for number in range(5):
        name = f"{number}.example.org"
        status = published("gandi", name, "203.0.113.1")
        metadata = {"finalizers": ["homing.dev/record"], **DELETED}
        domains.append(house.domain(f"d{number}", name, metadata=metadata, status=status, deletionPolicy="Delete"))
    house.at(ProviderId("Provider", "ns", "gandi")).locked = True
    for which in domains:
        await house.turn(which)
    assert house.records["gandi"].reads == 1
    assert house.status("ns/gandi", "Provider")["lockouts"]
    assert all(house.lifted(f"ns/{which.name}") for which in domains)


async def test_a_name_of_an_own_zone_is_let_go_when_no_dns_server_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without homing dns the operator lifts the finalizer, a little after the five minutes that deletions wait."""
    house = House(monkeypatch)
    spec = {"zone": {}, "allowedDomains": ["example.org"], "allowedNamespaces": ["*"]}
    house.put(CLUSTER_PROVIDERS, "own", spec=spec)
    metadata = {"finalizers": ["homing.dev/record"], **DELETED}
    reference = {"kind": "ClusterProvider", "name": "own"}
    which = house.domain("a", "a.example.org", provider=reference, metadata=metadata, deletionPolicy="Delete")
    wait = await house.turn(which)
    assert wait is not None
    assert 300 < wait <= 360
    assert not house.lifted("ns/a")
    await house.clock.advance(wait + 1)
    await house.turn(which)
    assert house.lifted("ns/a")
    assert "RecordRetained" in dict(house.said())


async def test_a_deletion_waits_for_no_crowd_at_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that waits for its time at a slow provider ends when its Domain is deleted."""
    monkeypatch.setattr("homing.operator.domains.ENDING", 0.05)
    house = House(monkeypatch)
    house.provider("gandi")
    which = house.domain("a", "a.example.org", deletionPolicy="Delete")
    waiting = asyncio.Event()

    async def crowd() -> None:
        waiting.set()
        await asyncio.Event().wait()

    house.at(ProviderId("Provider", "ns", "gandi")).during = crowd
    turn = asyncio.ensure_future(house.turn(which))
    await asyncio.wait_for(waiting.wait(), 5)
    metadata = {"finalizers": ["homing.dev/record"], **DELETED}
    house.domain("a", "a.example.org", deletionPolicy="Delete", metadata=metadata)
    assert await asyncio.wait_for(turn, 5) == 0.0
    await house.turn(which)
    assert house.lifted("ns/a")


async def test_more_addresses_than_a_status_takes_are_published_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name holds all of them; the status tells as many as the API server takes."""
    house = House(monkeypatch)
    house.provider("gandi")
    many = [f"203.0.113.{number}" for number in range(100)]
    which = house.domain("a", "a.example.org", addresses={"static": many})
    await house.turn(which)
    assert len(house.records["gandi"].values("a.example.org")) == 100
    assert len(house.status("ns/a")["addresses"]) == 64


def strato(house: House, fqdn: str, status: dict[str, object], **metadata: object) -> Which:
    """A Strato Domain."""
    house.client.secrets["ns", "password"] = {"password": b"open-sesame"}
    spec = {"fqdn": fqdn, "ipAddress": "8.8.4.4", "password": {"name": "password"}}
    house.put(STRATO_DOMAINS, "s", "ns", spec=spec, status=status, metadata=metadata)
    return Which("StratoDomain", "ns", "s")


@pytest.mark.parametrize(
    ("observed", "result", "asked"), [(1, True, 1), (1, False, 1), (2, True, 0), (0, True, 0), (0, False, 1)]
)
async def test_a_strato_domain_trusts_a_status_of_its_own_spec_only(
    monkeypatch: pytest.MonkeyPatch, observed: int, result: bool, asked: int
) -> None:
    """Under a name that came while nobody led, nothing is taken for published; the seed's own status still is."""
    house = House(monkeypatch)
    status = {"ipAddress": "8.8.4.4", "lastResult": result, "observedGeneration": observed}
    which = strato(house, "new.example.de", status, generation=2)
    records = house.at(ProviderId("Strato", "ns", "password"))
    records.traits = type(records.traits)(readable=False)
    await house.turn(which)
    assert len(records.applied) == asked


async def test_a_namespaced_secret_that_is_no_name_reads_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path in place of a name is told, and no request is made."""
    house = House(monkeypatch)
    for name in ("..", "../configmaps/x", "a/b", ".", "x\ny"):
        spec = {"fqdn": "a.example.de", "ipAddress": "8.8.4.4", "password": {"name": name}}
        house.put(STRATO_DOMAINS, "s", "ns", spec=spec, metadata={"uid": name})
        await house.turn(Which("StratoDomain", "ns", "s"))
        assert house.term.domains.reports[Which("StratoDomain", "ns", "s")].reason == "SecretNotFound"
    assert house.client.reads == []
