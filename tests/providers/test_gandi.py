"""Gandi LiveDNS on the wire: what is asked, and what each answer means."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from homing.effects.clock import ManualClock, settle
from homing.effects.http import HttpClient
from homing.effects.secret import Secret, secret_from_file, secret_from_text
from homing.errors import ConfigError, ProviderBusy, ProviderError, ProviderLocked, ProviderRefused
from homing.model.address import Family
from homing.model.name import Name, parse_name
from homing.model.rrset import RRType
from homing.providers.gandi import BURST, PER_MINUTE, Gandi
from homing.providers.rate import Rate
from tests.providers.changes import change
from tests.providers.fakes import Answer, Certificates, LiveDns, reset, says, says_json, serving

FQDN = "www.example.net"
A, B = "203.0.113.7", "198.51.100.23"
SIX = "2001:db8::7"
TOKEN = "pat_0123456789abcdef"
BOTH = change(FQDN, [], A, SIX)
FOUND = says_json({"fqdn": "example.net"})
NOT_FOUND = says_json({"object": "LocalizedHTTPNotFound", "message": "Unknown domain"}, 404)
NO_RECORD = says_json({"object": "dns-record", "message": "Can't find the DNS record www/A"}, 404)


def provider(
    http: HttpClient,
    server: str,
    *,
    token: Secret | None = None,
    domain: Name | None = None,
    timeout: float = 5.0,
    rate: Rate | None = None,
) -> Gandi:
    secret = token or secret_from_text(TOKEN, "file gandi.token")
    return Gandi("gandi", http=http, token=secret, server=server, domain=domain, timeout=timeout, rate=rate)


def live() -> LiveDns:
    return LiveDns(TOKEN, "example.net")


async def failure(http: HttpClient, *script: Answer) -> ProviderError:
    """What ``apply`` raises when these answers come in this order."""
    async with serving(says("unexpected", 418)) as service:
        service.script += script
        with pytest.raises(ProviderError) as raised:
            await provider(http, service.url).apply(BOTH)
    return raised.value


async def test_an_rrset_is_put_with_the_token_in_the_header(http: HttpClient) -> None:
    """One PUT an RRset, with values and TTL, under the domain that LiveDNS knows (B7)."""
    async with serving(live().answer) as service:
        await provider(http, service.url).apply(BOTH)
    puts = [asked for asked in service.asked if asked.method == "PUT"]
    base = "/v5/livedns/domains/example.net/records/www"
    assert [asked.path for asked in puts] == [f"{base}/A", f"{base}/AAAA"]
    assert [json.loads(asked.body) for asked in puts] == [
        {"rrset_values": [A], "rrset_ttl": 300},
        {"rrset_values": [SIX], "rrset_ttl": 300},
    ]
    assert {asked.authorization for asked in service.asked} == {f"Bearer {TOKEN}"}
    assert not [asked for asked in service.asked if TOKEN in asked.raw]


async def test_the_deprecated_key_is_sent_as_such(http: HttpClient) -> None:
    """With scheme Apikey the header says Apikey."""
    async with serving(FOUND) as service:
        gandi = Gandi("g", http=http, token=secret_from_text("key"), scheme="Apikey", server=service.url)
        with pytest.raises(ProviderBusy):
            await gandi.read(parse_name(FQDN))
    assert {asked.authorization for asked in service.asked} == {"Apikey key"}


async def test_only_changed_rrsets_are_touched(http: HttpClient) -> None:
    """A changed IPv4 address makes one PUT."""
    async with serving(live().answer) as service:
        gandi = provider(http, service.url)
        await gandi.apply(BOTH)
        service.asked.clear()
        await gandi.apply(change(FQDN, [A, SIX], B, SIX))
    assert [(asked.method, asked.path[-5:]) for asked in service.asked] == [("PUT", "www/A")]


async def test_the_apex_is_called_at(http: HttpClient) -> None:
    """The domain itself is the record name @."""
    server = live()
    async with serving(server.answer) as service:
        await provider(http, service.url).apply(change("example.net", [], A))
    assert server.records == {("@", "A"): (300, [A])}


async def test_a_short_ttl_is_raised_to_the_least(http: HttpClient) -> None:
    """LiveDNS takes no TTL below 300 seconds, and the traits say so."""
    server = live()
    async with serving(server.answer) as service:
        gandi = provider(http, service.url)
        await gandi.apply(change(FQDN, [], A, ttl=60))
    assert server.records["www", "A"][0] == gandi.traits.min_ttl == 300


async def test_the_domain_is_found_among_the_parents_and_remembered(http: HttpClient) -> None:
    """The name and its parents are looked up once; the top-level domain never."""
    async with serving(live().answer) as service:
        gandi = provider(http, service.url)
        await gandi.read(parse_name("a.b.example.net"))
        await gandi.read(parse_name("a.b.example.net"))
    lookups = [asked.path.rpartition("/")[2] for asked in service.asked if "/records/" not in asked.path]
    assert lookups == ["a.b.example.net", "b.example.net", "example.net"]


async def test_a_set_domain_is_the_only_one_looked_up(http: HttpClient) -> None:
    """With ``domain`` no parent is tried, and a name outside is refused without a request."""
    async with serving(live().answer) as service:
        gandi = provider(http, service.url, domain=parse_name("example.net"))
        await gandi.read(parse_name("a.b.example.net"))
        lookups = [asked.path.rpartition("/")[2] for asked in service.asked if "/records/" not in asked.path]
        assert lookups == ["example.net"]
        service.asked.clear()
        with pytest.raises(ProviderRefused, match=r"not in example\.net"):
            await gandi.read(parse_name("www.example.org"))
        assert service.asked == []


async def test_a_domain_that_is_not_in_livedns_locks_the_name(http: HttpClient) -> None:
    """404 for every parent pauses this name, not the account."""
    error = await failure(http, NOT_FOUND, NOT_FOUND)
    assert isinstance(error, ProviderLocked)
    assert (error.code, error.account) == ("no-domain", False)
    assert "no parent of www.example.net is in LiveDNS" in str(error)


async def test_a_domain_that_went_away_is_looked_up_again(http: HttpClient) -> None:
    """A 404 to a PUT forgets the domain that was remembered."""
    async with serving(live().answer) as service:
        gandi = provider(http, service.url)
        await gandi.read(parse_name(FQDN))
        service.script.append(NOT_FOUND)
        with pytest.raises(ProviderLocked):
            await gandi.apply(BOTH)
        service.asked.clear()
        await gandi.apply(BOTH)
    assert service.asked[0].path == "/v5/livedns/domains/www.example.net"


async def test_a_token_for_one_domain_finds_it(http: HttpClient) -> None:
    """A 403 for the host name itself is no verdict while a parent is allowed."""
    forbidden = says_json({"object": "HTTPForbidden"}, 403)
    async with serving(NO_RECORD) as service:
        service.script += [forbidden, FOUND]
        assert await provider(http, service.url).read(parse_name(FQDN)) == ()


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_lock_the_account(http: HttpClient, status: int) -> None:
    """401 and 403 need a person; the sentence says where the token is."""
    error = await failure(http, FOUND, says_json({"message": "no"}, status))
    assert isinstance(error, ProviderLocked)
    assert (error.code, error.account, error.seconds) == (f"http-{status}", True, None)
    assert "check the token in file gandi.token" in str(error)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
async def test_a_busy_service_is_tried_again(http: HttpClient, status: int) -> None:
    """5xx and 429 mean busy, at the look-up as at the record."""
    for script in ([says("", status)], [FOUND, says("<html>", status)]):
        error = await failure(http, *script)
        assert (type(error), error.code) == (ProviderBusy, f"http-{status}")


async def test_429_stops_all_requests_for_the_time_it_says(http: HttpClient) -> None:
    """After Retry-After: 90 no name asks anything for 90 seconds; after that one at a time goes."""
    clock = ManualClock()
    async with serving(live().answer) as service:
        gandi = provider(http, service.url, rate=Rate(PER_MINUTE, BURST, clock))
        service.script.append(says("", 429, Retry_After="90"))
        with pytest.raises(ProviderBusy) as raised:
            await gandi.read(parse_name(FQDN))
        assert raised.value.seconds == 90
        with pytest.raises(ProviderBusy) as raised:
            await gandi.read(parse_name("other.example.net"))
        assert raised.value.code == "rate-limit"
        assert len(service.asked) == 1
        await clock.advance(95)
        await gandi.read(parse_name(FQDN))


async def test_a_refused_request_is_told_with_gandi_s_words(http: HttpClient) -> None:
    """The message of the body is shown, bounded and without the token."""
    body = {"code": 400, "message": f"bad value {TOKEN} " + "x" * 1000, "object": "HTTPBadRequest"}
    error = await failure(http, FOUND, says_json(body, 400))
    assert isinstance(error, ProviderRefused)
    assert "bad value ***" in str(error)
    assert TOKEN not in str(error)
    assert len(str(error)) < 250


@pytest.mark.parametrize(
    "body",
    [
        "<html>sign in to the hotel's network</html>",
        "[]",
        "{}",
        '{"rrset_name": "www", "rrset_type": "A", "rrset_ttl": 300, "rrset_values": []}',
        '{"rrset_name": "www", "rrset_type": "A", "rrset_ttl": 300, "rrset_values": ["elsewhere"]}',
        '{"rrset_name": "www", "rrset_type": "A", "rrset_ttl": 300, "rrset_values": ["2001:db8::1"]}',
        '{"rrset_name": "www", "rrset_type": "A", "rrset_ttl": -1, "rrset_values": ["192.0.2.1"]}',
        '{"rrset_name": "www", "rrset_type": "TXT", "rrset_ttl": 300, "rrset_values": ["192.0.2.1"]}',
    ],
)
async def test_an_unreadable_answer_is_never_an_empty_name(http: HttpClient, body: str) -> None:
    """What is not an RRset as documented means busy, not that the name holds nothing (law 1)."""
    async with serving(says(body)) as service:
        service.script.append(FOUND)
        with pytest.raises(ProviderBusy) as raised:
            await provider(http, service.url).read(parse_name(FQDN))
    assert raised.value.code == "bad-answer"


async def test_a_missing_record_is_no_rrset(http: HttpClient) -> None:
    """404 for the record in a known domain means that there is none."""
    async with serving(NO_RECORD) as service:
        service.script.append(FOUND)
        assert await provider(http, service.url).read(parse_name(FQDN)) == ()


async def test_a_404_that_livedns_did_not_say_is_no_news(http: HttpClient) -> None:
    """A proxy's 404 page does not make a record vanish (law 1)."""
    async with serving(says("<html>Cannot GET /v5</html>", 404)) as service:
        service.script.append(FOUND)
        with pytest.raises(ProviderBusy):
            await provider(http, service.url).read(parse_name(FQDN))


async def test_a_record_can_be_read_as_livedns_tells_it(http: HttpClient) -> None:
    """Name, TTL, values and href are there for ``/raw`` (B10)."""
    async with serving(live().answer) as service:
        gandi = provider(http, service.url)
        await gandi.apply(change(FQDN, [], A))
        record = await gandi.record(parse_name(FQDN), RRType.A)
        assert await gandi.record(parse_name(FQDN), RRType.AAAA) is None
    assert record is not None
    assert (record.rrset_name, record.rrset_type, record.rrset_ttl, record.rrset_values) == ("www", "A", 300, (A,))
    assert record.rrset_href.endswith("/domains/example.net/records/www/A")


async def test_deleting_what_is_gone_is_done(http: HttpClient) -> None:
    """404 to a DELETE is success."""
    async with serving(live().answer) as service:
        await provider(http, service.url).apply(change(FQDN, [A, SIX], gone=[Family.V4, Family.V6]))
    assert [asked.method for asked in service.asked if "/records/" in asked.path] == ["DELETE", "DELETE"]


async def test_a_reset_means_busy(http: HttpClient) -> None:
    """A cut connection is tried again later."""
    error = await failure(http, reset)
    assert (type(error), error.code) == (ProviderBusy, "reset")
    error = await failure(http, FOUND, reset)
    assert (type(error), error.code) == (ProviderBusy, "reset")


async def test_a_slow_chain_of_requests_ends_within_the_timeout(http: HttpClient) -> None:
    """The timeout is for the whole call, not for each of its requests."""
    async with serving(says("")) as service:
        service.script += [NOT_FOUND, service.hang]
        with pytest.raises(ProviderBusy) as raised:
            await provider(http, service.url, timeout=0.3).read(parse_name(FQDN))
    assert raised.value.code == "timeout"


async def test_tls_is_verified(http: HttpClient, certificates: Certificates) -> None:
    """The token is not sent to a server with an expired certificate."""
    async with serving(says(""), certificates.expired) as service:
        with pytest.raises(ProviderBusy, match="expired") as raised:
            await provider(http, service.url).read(parse_name(FQDN))
    assert (raised.value.code, service.asked) == ("tls", [])


async def test_a_token_with_a_line_break_is_not_sent(http: HttpClient) -> None:
    """A token that no header can hold locks the account and says where it is."""
    async with serving(FOUND) as service:
        gandi = provider(http, service.url, token=secret_from_text("two\nlines", "file gandi.token"))
        with pytest.raises(ProviderLocked, match=r"file gandi\.token has characters"):
            await gandi.read(parse_name(FQDN))
    assert service.asked == []


async def test_a_changed_token_changes_the_fingerprint(http: HttpClient, tmp_path: Path) -> None:
    """It tells that the token changed; a missing token has an empty one."""
    path = tmp_path / "token"
    gandi = provider(http, "", token=secret_from_file(path, "providers.gandi.token_file"))
    assert gandi.fingerprint(parse_name(FQDN), b"salt") == ""
    path.write_text("one")
    one = gandi.fingerprint(parse_name(FQDN), b"salt")
    path.write_text("another")
    assert gandi.fingerprint(parse_name(FQDN), b"salt") not in ("", one)


def test_plain_http_is_refused(http: HttpClient) -> None:
    """The token goes over TLS."""
    with pytest.raises(ConfigError, match="must begin with https://"):
        provider(http, "http://gandi.example/v5/livedns")


async def test_all_names_share_the_rate() -> None:
    """In any minute no more than the rate and the burst pass, and one who would wait too long is told so."""
    clock = ManualClock()
    rate = Rate(PER_MINUTE, BURST, clock)
    waits = [await rate.admit(0.0) for _ in range(BURST + 1)]
    assert waits[:BURST] == [0.0] * BURST
    assert waits[BURST] > 0
    tasks = [asyncio.create_task(rate.admit(600.0)) for _ in range(2000)]
    await settle()
    await clock.advance(60 - 1e-6)
    passed = sum(task.done() for task in tasks)
    assert PER_MINUTE - 1 <= passed <= PER_MINUTE
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
