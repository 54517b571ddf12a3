"""Whatever an object holds is told of that object; it ends no term, blocks no other, and shows no secret."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from homing.app.cluster.detect import Detectors
from homing.app.cluster.esddns import read_config_map
from homing.effects.clock import ManualClock, settle
from homing.effects.http import HttpClient
from homing.errors import ConfigError
from homing.kube.kinds import CLUSTER_PROVIDERS, DOMAINS, PROVIDERS, SITES, STRATO_DOMAINS
from homing.kube.kinds.site import Site
from homing.kube.objects import EndpointSlice
from homing.model.name import parse_name
from homing.operator.accounts import lockouts_in, lockouts_text
from homing.operator.conditions import LATEST, moment, seconds_of
from homing.operator.entry import ProviderId, Which
from homing.operator.sites import SiteObserver
from homing.providers.base import Traits
from tests.operator.house import SECRET, Answering, House

HOSTILE = st.one_of(
    st.sampled_from(
        (
            "", ".", "..", "*", "*.", "a", "a.b", "A.B", "*.example.org", "xn--", "xn--a.example.org", "é.example.org",
            "a..b", "a\\.b.c", "a\n.b", "\x00.org", "1.0.0.127.in-addr.arpa", "notexample.org", "a" * 300, "a:99999",
            "[::1", "::1", "::ffff:1.2.3.4", "fe80::1%eth0", "1.2.3.4/33", "100.64.0.1/10", "https://h:99999/",
            "https://[::1/", "https://xn--/", "http://127.0.0.1:1/", "http://169.254.169.254/", "https://u:p@h/",
            "https://h/?a=b", "h:0", "h:65536", "localhost", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59",
            "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "é",
        )
    ),
    st.text(max_size=40),
)  # fmt: skip
NUMBERS = st.sampled_from((-(2**31), -1, 0, 1, 59, 300, 86_401, 2**31 - 1, 2**31, 2**63 - 1))
FAMILIES = st.lists(HOSTILE, max_size=2)
ADDRESSES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"static": st.lists(HOSTILE, max_size=3)}),
    st.fixed_dictionaries(
        {
            "wan": st.fixed_dictionaries(
                {"site": HOSTILE, "families": st.lists(HOSTILE, max_size=2), "ipv6HostId": HOSTILE}
            )
        }
    ),
    st.fixed_dictionaries({"nodes": st.fixed_dictionaries({"area": HOSTILE})}),
    st.just({}),
)
REFERENCE = st.fixed_dictionaries(
    {"kind": st.sampled_from(("Provider", "ClusterProvider", "Strato", "")), "name": st.sampled_from(("p", "..", "x"))}
)
STATUS = st.fixed_dictionaries(
    {
        "fqdn": HOSTILE,
        "addresses": st.lists(HOSTILE, max_size=3),
        "providerRef": REFERENCE,
        "ttlSeconds": NUMBERS,
        "lastSync": HOSTILE,
        "lastAttempt": HOSTILE,
        "retries": NUMBERS,
        "conditions": st.lists(
            st.fixed_dictionaries({"type": st.sampled_from(("Ready", "Synced")), "status": st.just("True")}), max_size=2
        ),
    }
)
SPEC = st.fixed_dictionaries(
    {
        "fqdn": HOSTILE,
        "addresses": ADDRESSES,
        "providerRef": REFERENCE,
        "ttlSeconds": NUMBERS,
        "intervalSeconds": NUMBERS,
        "deletionPolicy": HOSTILE,
    }
)
TYPES = {
    "strato": {"server": HOSTILE, "user": HOSTILE},
    "dyndns2": {"server": HOSTILE, "user": HOSTILE, "preset": HOSTILE},
    "gandi": {"server": HOSTILE, "domain": HOSTILE, "authentication": HOSTILE},
    "rfc2136": {"server": HOSTILE, "zone": HOSTILE, "tsigKeyName": HOSTILE, "tsigAlgorithm": HOSTILE},
}
KEY = st.fixed_dictionaries({"name": st.sampled_from(("token", "..", "x")), "key": st.sampled_from(("api-key", "k"))})
PROVIDER = st.fixed_dictionaries(
    {"secretRef": KEY, "timeoutSeconds": NUMBERS},
    optional={
        **{name: st.fixed_dictionaries(fields) for name, fields in TYPES.items()},
        "caBundle": HOSTILE,
        "allowedDomains": st.lists(HOSTILE, max_size=2),
        "rateLimit": st.fixed_dictionaries({"requestsPerMinute": NUMBERS}),
    },
)
DETECT = st.fixed_dictionaries(
    {},
    optional={
        "stunServers": st.lists(HOSTILE, max_size=2),
        "httpServices": st.lists(HOSTILE, max_size=2),
        "acceptNetworks": st.lists(HOSTILE, max_size=2),
        "quorum": NUMBERS,
    },
)
DELETED = {"deletionTimestamp": "2023-11-14T22:13:00Z", "finalizers": ["homing.dev/record"]}
MANY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def faults(logs: Any) -> list[Any]:
    """What was logged as a fault of ours."""
    return [one for one in logs if one["log_level"] == "critical"]


@given(spec=SPEC, status=STATUS)
@MANY
async def test_a_domain_of_any_content_has_its_turn(
    monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], status: dict[str, Any]
) -> None:
    """It is published or told why not, and another one beside it is published."""
    house = House(monkeypatch)
    which = Which("Domain", "ns", "a")
    with capture_logs() as logs:
        house.provider("p")
        house.cluster_provider("p")
        house.put(DOMAINS, "a", "ns", spec=spec, status=status)
        good = house.domain("good", "good.example.net", provider={"name": "p"})
    assert faults(logs) == []
    await house.turn(which)
    assert house.status("ns/a")["conditions"]
    await house.turn(good)
    assert house.term.domains.reports[good].ready
    house.put(DOMAINS, "a", "ns", spec=spec, status=status, metadata=DELETED)
    await house.turn(which)


@given(spec=PROVIDER, both=st.booleans())
@MANY
async def test_a_provider_of_any_content_is_told(
    monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], *, both: bool
) -> None:
    """It can be used, or its condition says why not; the Domains of others are not touched by it."""
    house = House(monkeypatch, real=True)
    with capture_logs() as logs:
        house.domain("a", "www.example.org", provider={"name": "p"})
        house.client.secrets["ns", "token"] = {"api-key": SECRET.encode()}
        house.put(PROVIDERS, "p", "ns", spec=spec)
        house.term._secret_changed(("ns", "token"), None, None)
        if both:
            house.put(CLUSTER_PROVIDERS, "p", spec={**spec, "secretRef": None, "zone": {}, "allowedDomains": []})
    assert faults(logs) == []
    for which in (ProviderId("Provider", "ns", "p"), *([ProviderId("ClusterProvider", "", "p")] if both else ())):
        await house.term._turn(which)
        told = {item["type"]: item for item in house.status(f"{which.namespace}/p", which.kind)["conditions"]}
        assert told["Ready"]["status"] == "True" or told["Ready"]["reason"] in TOLD
        assert SECRET not in str(told)
    await house.term._providers.aclose()


TOLD = {"ProviderInvalid", "SecretNotFound", "SecretKeyNotFound", "ZoneServed"}


@pytest.mark.parametrize("server", ["https://h:99999/", "https://[::1/", "https://xn--/"])
@pytest.mark.parametrize("kind", ["dyndns2", "strato", "gandi"])
async def test_a_url_that_is_none_ends_no_term(monkeypatch: pytest.MonkeyPatch, server: str, kind: str) -> None:
    """The API server takes some of these; the Domain says that its provider cannot be used."""
    house = House(monkeypatch, real=True)
    house.client.secrets["ns", "token"] = {"api-key": b"x", "password": b"x"}
    house.put(PROVIDERS, "gandi", "ns", spec={kind: {"server": server}, "secretRef": {"name": "token"}})
    which = house.domain("a", "www.example.org")
    await house.turn(which)
    assert house.term.domains.reports[which].reason == "ProviderInvalid"
    await house.term._providers.aclose()


async def test_a_bundle_without_a_certificate_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the server is to blame."""
    house = House(monkeypatch, real=True)
    house.provider("gandi", caBundle="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
    which = house.domain("a", "www.example.org")
    await house.turn(which)
    report = house.term.domains.reports[which]
    assert (report.reason, "caBundle" in report.message) == ("ProviderInvalid", True)


HERE = ProviderId("Strato", "ns", "password")
NAME = parse_name("www.example.de")


def lockout(**fields: Any) -> dict[str, Any]:
    """A lockout as JSON."""
    return {"account": "www.example.de@dyndns.strato.com", "host": "", "code": "badauth", **fields}


@pytest.mark.parametrize(
    "text",
    [
        '[{"account":"a","host":"b","code":"c","x":' + "[" * 50_000 + "]" * 50_000 + "}]",
        "[" * 50_000,
        "x" * 300_000,
        '[{"account": 1}]',
        "[NaN]",
        '{"account": "a"}',
        "[" + ",".join(['{"account":"www.example.de@x","host":"","code":"911"}'] * 900) + "]",
    ],
)
async def test_an_annotation_of_any_content_ends_no_term(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Not even one of depths that no reader bears; few lockouts are taken from it at most."""
    assert len(lockouts_in(HERE, NAME, text, 1e9)) <= 32
    house = House(monkeypatch)
    spec = {"fqdn": "www.example.de", "ipAddress": "8.8.4.4", "password": {"name": "password"}}
    with capture_logs() as logs:
        house.put(STRATO_DOMAINS, "s", "ns", spec=spec, metadata={"annotations": {"homing.dev/lockouts": text}})
    assert faults(logs) == []
    assert Which("StratoDomain", "ns", "s") in house.term.domains.entries


def test_a_forged_lockout_neither_lasts_forever_nor_speaks_for_another() -> None:
    """An end is a day away at most, and only the Domain's own account counts."""
    items = [
        lockout(code="911", until="9999-12-31T23:59:59Z", since="9999-01-01T00:00:00Z", reason="x\n" * 9999),
        lockout(account="mail.example.de@dyndns.strato.com", until="2001-01-01T00:00:00Z"),
        lockout(account="www.example.de.evil@dyndns.strato.com"),
        lockout(host="mail.example.de"),
    ]
    (found,) = lockouts_in(HERE, NAME, msgspec.json.encode(items).decode(), 1e9)
    assert found.until == 1e9 + 86_400
    assert found.since <= 1e9
    assert len(found.reason) <= 1024
    assert found.reason.isprintable()


async def test_a_domain_keeps_the_lockouts_of_its_own_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand that share a Secret do not keep a million."""
    house = House(monkeypatch)
    text = msgspec.json.encode([lockout()]).decode()
    for number in range(3):
        spec = {"fqdn": f"{number}.example.de", "ipAddress": "8.8.4.4", "password": {"name": "password"}}
        own = text.replace("www.example.de@", f"{number}.example.de@")
        house.put(STRATO_DOMAINS, f"s{number}", "ns", spec=spec, metadata={"annotations": {"homing.dev/lockouts": own}})
    assert len(house.term.memory.lockouts) == 3
    kept = lockouts_text(house.term.memory, HERE, parse_name("1.example.de")) or ""
    assert [one["account"] for one in msgspec.json.decode(kept)] == ["1.example.de@dyndns.strato.com"]


async def test_a_status_takes_a_thousand_lockouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of whole accounts and the latest are kept; the API server would refuse more."""
    house = House(monkeypatch)
    since = "2023-01-01T00:00:00Z"
    many = [{"account": "a", "host": f"{number}.org", "code": "nohost", "since": since} for number in range(1500)]
    whole = {"account": "a", "host": "", "code": "badauth", "since": "2020-01-01T00:00:00Z"}
    house.client.secrets["ns", "token"] = {"api-key": SECRET.encode()}
    spec = {"gandi": {}, "secretRef": {"name": "token"}}
    house.put(PROVIDERS, "gandi", "ns", spec=spec, status={"lockouts": [whole, *many]})
    await house.term._turn(ProviderId("Provider", "ns", "gandi"))
    kept = house.status("ns/gandi", "Provider")["lockouts"]
    assert len(kept) == 1000
    assert any(one["code"] == "badauth" for one in kept)


@given(detect=DETECT)
@MANY
async def test_a_site_of_any_content_is_told(detect: dict[str, Any]) -> None:
    """Who observes for it observes, or writes why not and waits for another spec."""
    client, clock = Answering(), ManualClock()
    async with HttpClient() as http:
        make = Detectors(http, clock=clock, chance=random.Random(1)).make
        site = msgspec.convert({"metadata": {"name": "s", "uid": "u"}, "spec": {"detect": detect}}, type=Site)
        observer = SiteObserver(client, site, make, by="n", clock=clock)
        if observer._detector is None:
            await tells(observer, client)


async def tells(observer: SiteObserver, client: Answering) -> None:
    """The observer writes the condition, and goes on."""
    running = asyncio.ensure_future(observer.run())
    await settle()
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    ((_, _, body),) = client.patches
    assert body["metadata"]["uid"] == "u"
    assert [item["reason"] for item in body["status"]["conditions"] if item["type"] == "Detected"] == ["InvalidSpec"]


@pytest.mark.parametrize("detect", [{"stunServers": ["stun.example.org:99999"]}, {"acceptNetworks": ["100.64.0.1/10"]}])
async def test_a_site_that_the_api_server_takes_ends_no_term(
    monkeypatch: pytest.MonkeyPatch, detect: dict[str, Any]
) -> None:
    """Neither its observer nor a Domain that follows it fails."""
    client, clock = Answering(), ManualClock()
    async with HttpClient() as http:
        make = Detectors(http, clock=clock, chance=random.Random(1)).make
        site = msgspec.convert({"metadata": {"name": "s", "uid": "u"}, "spec": {"detect": detect}}, type=Site)
        await tells(SiteObserver(client, site, make, by="n", clock=clock), client)
    house = House(monkeypatch)
    house.provider("gandi")
    status = {"addresses": [{"family": "IPv4", "address": "8.8.4.4"}], "detectedAt": "0001-01-01T00:00:00+23:59"}
    house.put(SITES, "s", spec={"detect": detect}, status=status)
    which = house.domain("a", "www.example.org", addresses={"wan": {"site": "s"}})
    await house.turn(which)
    assert house.term.domains.reports[which].ready


@given(
    data=st.dictionaries(
        st.sampled_from(("target-domain", "record-name", "record-ttl", "dns.ini")),
        st.one_of(
            HOSTILE,
            st.sampled_from(
                ("[", "[gandi]\n[gandi]", "a=b", "[WANIPState]\nip_check_services = " + "[" * 5000, "%(x)s")
            ),
            st.builds("[ESDDNS]\ndaemon_thread_interval = {}\n".format, HOSTILE),
            st.builds("[WANIPState]\nip_check_services = {}\n".format, HOSTILE),
            st.builds("[gandi]\napi_url = {}\n".format, HOSTILE),
        ),
    )
)
@example(data={"dns.ini": "[WANIPState]\nip_check_services = " + "[" * 50_000})
@MANY
def test_a_config_map_of_any_content_is_read_or_refused(data: dict[str, str]) -> None:
    """Nothing but ConfigError comes out of it."""
    with contextlib.suppress(ConfigError):
        read_config_map({"target-domain": "example.org", **data})


@given(st.one_of(st.floats(allow_nan=False, min_value=-1e12, max_value=1e18)))
def test_any_time_can_be_written(seconds: float) -> None:
    """What lies beyond a calendar is its end."""
    text = moment(seconds)
    assert text is None or 0 <= seconds_of(text) <= LATEST


async def test_a_slice_that_changes_its_service_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its nodes count for one Service at a time."""
    world = House(monkeypatch).term.world
    for number, service in enumerate(("a", "b")):
        meta = {"name": "s", "namespace": "ns", "uid": "u", "resourceVersion": str(number)}
        labels = {"kubernetes.io/service-name": service}
        body = {"metadata": {**meta, "labels": labels}, "endpoints": [{"nodeName": "n"}]}
        world._slices._hold(("ns", "s"), msgspec.convert(body, type=EndpointSlice))
    assert list(world._of_service) == [("ns", "b")]


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("www.example.org", True),
        ("WWW.Example.ORG", True),
        ("*.example.org", True),
        ("example.org", True),
        ("notexample.org", False),
        ("example.org.evil.net", False),
        ("*.org", False),
        ("www.example.organic", False),
    ],
)
async def test_allowed_domains_hold_by_labels(monkeypatch: pytest.MonkeyPatch, *, name: str, allowed: bool) -> None:
    """The end of a text is no domain."""
    house = House(monkeypatch)
    house.cluster_provider("cluster")
    which = house.domain("a", name, provider={"kind": "ClusterProvider", "name": "cluster"})
    await house.turn(which)
    assert (house.term.domains.reports[which].reason == "Published") is allowed


async def test_a_fault_of_one_object_is_told_and_the_next_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a listener does not bear, the stream goes on."""
    house = House(monkeypatch)
    seen = house.term._providers_seen

    def fails(*_: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(house.term._accounts, "learn", fails)
    with capture_logs() as logs:
        house.provider("p")
        house.provider("q")
    assert len(faults(logs)) == 2
    assert SECRET not in str(logs)
    assert len(seen) == 2


async def test_what_nobody_uses_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets, clients and figures go with the provider; of a Secret only the key in use is kept, and no large one."""
    house = House(monkeypatch, real=True)
    house.client.secrets["ns", "token"] = {"api-key": SECRET.encode(), "other": b"x" * 900_000}
    house.put(PROVIDERS, "p", "ns", spec={"gandi": {}, "secretRef": {"name": "token"}})
    which = ProviderId("Provider", "ns", "p")
    await house.term._turn(which)
    (value,) = house.term._secrets._values.values()
    assert value.data == {"api-key": SECRET.encode()}
    house.metrics.updates.labels(which.key, "ok").inc()
    house.drop(PROVIDERS, "p", "ns")
    assert (house.term._secrets._values, house.term._providers._made, house.term._accounts._seen) == ({}, {}, set())
    assert "ns/p" not in house.metrics.exposition().decode()
    await house.term._providers.aclose()


async def test_figures_of_a_provider_are_those_of_all_its_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Domain whose own name is not held back does not say so for the others."""
    house = House(monkeypatch)
    house.provider("gandi")
    house.at(ProviderId("Provider", "ns", "gandi")).traits = Traits(readable=True)
    held = house.domain("held", "held.example.org", "10.0.0.1", allowPrivate=False)
    fine = house.domain("fine", "fine.example.org", "8.8.4.4")
    await house.turn(held)
    await house.turn(fine)
    assert 'homing_plan_held_changes{provider="ns/gandi"} 1.0' in house.metrics.exposition().decode()
    assert house.term.domains.reports[held].reason == "Held"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"strato": {}}, {"dyndns2": {"preset": "strato"}}),
        ({"strato": {}}, {"dyndns2": {"server": "https://DYNDNS.strato.com/nic/update"}}),
        ({"rfc2136": {"server": "ns1.example.org"}}, {"rfc2136": {"server": "NS1.example.org:53"}}),
    ],
)
async def test_one_service_is_one_realm_however_it_is_written(
    monkeypatch: pytest.MonkeyPatch, one: dict[str, Any], two: dict[str, Any]
) -> None:
    """Two Domains do not fight about a name because their providers are written differently."""
    house = House(monkeypatch)
    for spec in (one, two):
        spec.get("rfc2136", {}).update(tsigKeyName="k")
    house.put(PROVIDERS, "one", "ns", spec={**one, "secretRef": {"name": "x"}})
    house.put(PROVIDERS, "two", "ns", spec={**two, "secretRef": {"name": "x"}})
    house.domain("a", "www.example.org", provider={"name": "one"})
    which = house.domain("b", "www.example.org", provider={"name": "two"})
    await house.turn(which)
    assert house.term.domains.reports[which].reason == "Conflict"
