"""dyndns2 on the wire: what is sent, and what each answer means."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from homing.effects.http import HttpClient
from homing.effects.secret import Secret, secret_from_file, secret_from_text
from homing.errors import ConfigError, ProviderBusy, ProviderError, ProviderLocked, ProviderRefused
from homing.model.address import Family
from homing.model.name import parse_name
from homing.providers.dyndns2 import Dyndns2
from homing.providers.presets import GENERIC, PRESETS, Preset
from tests.providers.changes import change
from tests.providers.fakes import Answer, Certificates, Service, reset, says, serving

FQDN = "www.example.de"
A, B = "203.0.113.7", "198.51.100.23"
SIX = "2001:db8::7"
PASSWORD = "pass:wörd &?%"
BOTH = change(FQDN, [], A, SIX)


def provider(
    http: HttpClient,
    server: str,
    *,
    preset: Preset = PRESETS["strato"],
    password: Secret | None = None,
    user: str = "",
    timeout: float = 5.0,
) -> Dyndns2:
    secret = password or secret_from_text(PASSWORD, "file strato.password")
    return Dyndns2("strato", preset, http=http, password=secret, user=user, server=server, timeout=timeout)


async def ask(http: HttpClient, answer: Answer) -> Service:
    """Apply once against this answer; raises what the provider raises."""
    async with serving(answer) as service:
        await provider(http, service.url).apply(BOTH)
    return service


async def failure(http: HttpClient, answer: Answer) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        await ask(http, answer)
    return raised.value


async def test_one_request_carries_both_families_and_no_secret(http: HttpClient) -> None:
    """Both addresses go in one request; user and password in the header, nothing of them in the URL (A9, U6)."""
    service = await ask(http, says("good"))
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("GET", "/nic/update")
    assert asked.query == {"hostname": FQDN, "myip": f"{A},{SIX}"}
    assert asked.login == (FQDN, PASSWORD)
    assert "w%C3%B6rd" not in asked.raw
    assert "wörd" not in asked.raw


async def test_the_agent_names_program_version_and_contact(http: HttpClient) -> None:
    """dyndns2 services demand a User-Agent of their form."""
    service = await ask(http, says("good"))
    program, _, contact = service.asked[0].agent.partition(" ")
    assert program.startswith("Homing/")
    assert contact.startswith("(+https://")


async def test_a_user_takes_the_place_of_the_host(http: HttpClient) -> None:
    """With ``user`` set, one account is used for all hosts."""
    async with serving(says("good")) as service:
        strato = provider(http, service.url, user="example.de")
        await strato.apply(BOTH)
    assert service.asked[0].login == ("example.de", PASSWORD)
    assert strato.account(parse_name(FQDN)) == strato.account(parse_name("mail.example.de"))


def test_without_a_user_each_host_is_an_account() -> None:
    """A wrong password of one host does not pause another."""
    strato = provider(HttpClient(), "")
    assert strato.account(parse_name(FQDN)) == "www.example.de@dyndns.strato.com"
    assert strato.account(parse_name("mail.example.de")) == "mail.example.de@dyndns.strato.com"


@pytest.mark.parametrize("body", ["good", "good 203.0.113.7", f"nochg {A},{SIX}\r\n", "nochg", f"good {A} {SIX}\n"])
async def test_good_and_nochg_are_success(http: HttpClient, body: str) -> None:
    """The first word counts, whatever addresses follow it."""
    await ask(http, says(body))


@pytest.mark.parametrize(
    "body",
    ["", "   \n", "not good", "goodbye", "<html>good</html>", "GOOD?", '{"status": "good"}', "good\nsomething else"],
)
async def test_a_body_that_merely_contains_good_is_no_success(http: HttpClient, body: str) -> None:
    """Anything but the code itself is refused (A11)."""
    error = await failure(http, says(body))
    assert (type(error), error.code) == (ProviderRefused, "unknown-answer")


@pytest.mark.parametrize("code", ["badauth", "badagent", "badsys", "!donator"])
async def test_account_codes_lock_the_account(http: HttpClient, code: str) -> None:
    """They stop every host of the account until a person changes something."""
    error = await failure(http, says(code))
    assert isinstance(error, ProviderLocked)
    assert (error.code, error.account, error.seconds) == (code, True, None)


@pytest.mark.parametrize("code", ["notfqdn", "nohost", "numhost", "abuse", "!yours"])
async def test_host_codes_lock_the_host(http: HttpClient, code: str) -> None:
    """They stop this host until a person changes something."""
    error = await failure(http, says(f"{code}\n"))
    assert isinstance(error, ProviderLocked)
    assert (error.code, error.account, error.seconds) == (code, False, None)


@pytest.mark.parametrize(("code", "account"), [("911", True), ("dnserr", False)])
async def test_the_service_s_own_troubles_pause_for_half_an_hour(http: HttpClient, code: str, account: bool) -> None:
    """911 and dnserr are repeated no sooner than after 30 minutes."""
    error = await failure(http, says(code))
    assert isinstance(error, ProviderLocked)
    assert (error.code, error.account, error.seconds) == (code, account, 1800)


async def test_good_127_0_0_1_means_that_the_agent_is_rejected(http: HttpClient) -> None:
    """A loopback address nobody asked for stops the account."""
    error = await failure(http, says("good 127.0.0.1"))
    assert isinstance(error, ProviderLocked)
    assert (error.code, error.account, error.seconds) == ("badagent", True, None)


async def test_good_127_0_0_1_is_success_when_asked_for(http: HttpClient) -> None:
    """The same answer is fine where that very address was to be published."""
    async with serving(says("good 127.0.0.1")) as service:
        await provider(http, service.url).apply(change(FQDN, [], "127.0.0.1"))


async def test_another_address_than_asked_is_no_success(http: HttpClient) -> None:
    """A service that ignores myip and publishes the sender's address is found out."""
    error = await failure(http, says("good 198.51.100.99"))
    assert (type(error), error.code) == (ProviderRefused, "other-address")


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, "Unauthorized", ProviderLocked, "badauth"),
        (403, "<html>Forbidden</html>", ProviderLocked, "badauth"),
        (403, "abuse", ProviderLocked, "abuse"),
        (401, "good", ProviderLocked, "badauth"),
        (429, "slow down", ProviderBusy, "http-429"),
        (500, "good", ProviderBusy, "http-500"),
        (503, "", ProviderBusy, "http-503"),
        (404, "<html>", ProviderRefused, "unknown-answer"),
        (204, "", ProviderRefused, "unknown-answer"),
    ],
)
async def test_http_statuses(http: HttpClient, status: int, body: str, kind: type[ProviderError], code: str) -> None:
    """A status that is not 200 is never success, whatever the body says."""
    error = await failure(http, says(body, status))
    assert (type(error), error.code) == (kind, code)


async def test_retry_after_is_told(http: HttpClient) -> None:
    """A 429 with Retry-After says how long to wait, an hour at most."""
    error = await failure(http, says("", 429, Retry_After="120"))
    assert isinstance(error, ProviderBusy)
    assert error.seconds == 120
    error = await failure(http, says("", 429, Retry_After="99999"))
    assert isinstance(error, ProviderBusy)
    assert error.seconds == 3600


async def test_a_redirect_is_not_followed(http: HttpClient) -> None:
    """The password goes to the configured server and nowhere else."""
    async with serving(says("good")) as other, serving(says("", 302, Location=f"{other.url}/nic/update")) as service:
        with pytest.raises(ProviderRefused) as raised:
            await provider(http, service.url).apply(BOTH)
    assert raised.value.code == "redirect"
    assert other.asked == []


async def test_a_huge_answer_is_cut_off(http: HttpClient) -> None:
    """A body of 1 MB is not read; the provider counts as busy."""
    error = await failure(http, says("good " * 200_000))
    assert (type(error), error.code) == (ProviderBusy, "too-large")


async def test_a_reset_means_busy(http: HttpClient) -> None:
    """A cut connection is tried again later, and not at once behind our back: the update may have been made."""
    async with serving(reset) as service:
        with pytest.raises(ProviderBusy) as raised:
            await provider(http, service.url).apply(BOTH)
    assert raised.value.code == "reset"
    assert len(service.asked) == 1


async def test_a_hang_means_busy(http: HttpClient) -> None:
    """A silent service is left after the timeout."""
    async with serving(says("good")) as service:
        service.script.append(service.hang)
        with pytest.raises(ProviderBusy) as raised:
            await provider(http, service.url, timeout=0.2).apply(BOTH)
    assert raised.value.code == "timeout"


async def test_tls_is_verified(http: HttpClient, certificates: Certificates) -> None:
    """A certificate of the given CA is fine; an expired one is busy, and nothing is sent to its server."""
    async with serving(says("good"), certificates.valid) as service:
        await provider(http, service.url).apply(BOTH)
    async with serving(says("good"), certificates.expired) as service:
        with pytest.raises(ProviderBusy, match="expired") as raised:
            await provider(http, service.url).apply(BOTH)
    assert raised.value.code == "tls"
    assert service.asked == []


async def test_an_unknown_ca_is_not_trusted(certificates: Certificates) -> None:
    """Without the CA file the same certificate is refused."""
    async with HttpClient() as http, serving(says("good"), certificates.valid) as service:
        with pytest.raises(ProviderBusy) as raised:
            await provider(http, service.url).apply(BOTH)
    assert (raised.value.code, service.asked) == ("tls", [])


async def test_an_error_says_what_to_do(http: HttpClient) -> None:
    """The sentence names provider, code, host, where the password is, and what happens now."""
    error = await failure(http, says("badauth"))
    assert str(error) == (
        "provider strato: badauth for www.example.de; check the user and the password in file strato.password; "
        "updates stay paused until it changes"
    )


async def test_an_echoed_password_is_not_told(http: HttpClient) -> None:
    """An answer that quotes the password, plainly or in Base64, is shown without it, and in bounds."""
    error = await failure(http, says(f"no such password: {PASSWORD}\x07" + "x" * 10_000))
    assert "***" in str(error)
    assert PASSWORD not in str(error)
    assert "\x07" not in str(error)
    assert len(str(error)) < 300


async def test_an_echoed_header_is_not_told(http: HttpClient) -> None:
    """An answer that quotes the Authorization header is shown without it."""
    header = base64.b64encode(f"me@example.de:{PASSWORD}".encode()).decode()
    async with serving(says(f"rejected: Basic {header}")) as service:
        with pytest.raises(ProviderRefused, match="rejected") as raised:
            await provider(http, service.url, user="me@example.de").apply(BOTH)
    assert service.asked[0].authorization == f"Basic {header}"
    assert header[-12:] not in str(raised.value)


async def test_an_unchanged_address_sends_nothing(http: HttpClient) -> None:
    """A change of the TTL alone makes no request: repeated nochg gets a host blocked."""
    async with serving(says("nochg")) as service:
        await provider(http, service.url).apply(change(FQDN, [A, SIX], A, SIX, ttl=60))
    assert service.asked == []


async def test_a_deletion_is_refused_before_anything_is_sent(http: HttpClient) -> None:
    """Strato cannot remove a family; the error says so and names it."""
    async with serving(says("good")) as service:
        with pytest.raises(ProviderRefused, match="cannot remove an IPv6 address"):
            await provider(http, service.url).apply(change(FQDN, [A, SIX], A, gone=[Family.V6]))
    assert service.asked == []


async def test_two_addresses_of_a_family_are_refused(http: HttpClient) -> None:
    """A host of a dyndns2 service holds one address of a family."""
    async with serving(says("good")) as service:
        with pytest.raises(ProviderRefused, match="one address"):
            await provider(http, service.url).apply(change(FQDN, [], A, B))
    assert service.asked == []


async def test_a_changed_password_counts_at_once(http: HttpClient, tmp_path: Path) -> None:
    """The file is read again when it changed, and the fingerprint with it (U8)."""
    path = tmp_path / "password"
    path.write_text("old\n")
    async with serving(says("good")) as service:
        strato = provider(http, service.url, password=secret_from_file(path, "providers.strato.password_file"))
        before = strato.fingerprint(parse_name(FQDN), b"salt")
        await strato.apply(BOTH)
        path.write_text("newer\n")
        await strato.apply(BOTH)
    assert [asked.login[1] for asked in service.asked] == ["old", "newer"]
    assert strato.fingerprint(parse_name(FQDN), b"salt") != before


async def test_a_missing_password_is_tried_again_later(http: HttpClient, tmp_path: Path) -> None:
    """Without its file nothing is sent, and updates go on by themselves once it is there (A11)."""
    path = tmp_path / "password"
    async with serving(says("good")) as service:
        strato = provider(http, service.url, password=secret_from_file(path, "providers.strato.password_file"))
        with pytest.raises(ProviderBusy, match="cannot read"):
            await strato.apply(BOTH)
        assert service.asked == []
        path.write_text("here it is")
        await strato.apply(BOTH)


@pytest.mark.parametrize(
    ("key", "addresses", "expected"),
    [
        ("noip", (A, SIX), {"myip": f"{A},{SIX}"}),
        ("dyn", (A, SIX), {"myip": f"{A},{SIX}"}),
        ("ovh", (A,), {"system": "dyndns", "myip": A}),
        ("inwx", (A, SIX), {"myip": A, "myipv6": SIX}),
        ("desec", (A, SIX), {"myipv4": A, "myipv6": SIX}),
        ("desec", (SIX,), {"myipv4": "preserve", "myipv6": SIX}),
        ("desec", (A, B), {"myipv4": f"{B},{A}", "myipv6": "preserve"}),
        ("dynu", (A,), {"myip": A, "myipv6": "no"}),
        ("variomedia", (SIX,), {"myip": SIX}),
    ],
)
async def test_presets_ask_as_their_service_wants(
    http: HttpClient, key: str, addresses: tuple[str, ...], expected: dict[str, str]
) -> None:
    """Each service gets its own parameters; a family nobody speaks of is kept where leaving it out would change it."""
    async with serving(says("good")) as service:
        await provider(http, service.url, preset=PRESETS[key], user="someone").apply(change(FQDN, [], *addresses))
    assert [asked.query for asked in service.asked] == [{"hostname": FQDN, **expected}]


async def test_desec_removes_a_family_by_an_empty_value(http: HttpClient) -> None:
    """Where the service can remove a family, a positive removal is sent."""
    async with serving(says("good")) as service:
        await provider(http, service.url, preset=PRESETS["desec"]).apply(change(FQDN, [A, SIX], A, gone=[Family.V6]))
    assert service.asked[0].query == {"hostname": FQDN, "myipv4": A, "myipv6": ""}


async def test_dyn_removes_a_family_by_leaving_it_out(http: HttpClient) -> None:
    """One family may go, but not both."""
    async with serving(says("good")) as service:
        dyn = provider(http, service.url, preset=PRESETS["dyn"], user="someone")
        await dyn.apply(change(FQDN, [A, SIX], A, gone=[Family.V6]))
        with pytest.raises(ProviderRefused):
            await dyn.apply(change(FQDN, [A], gone=[Family.V4]))
    assert [asked.query for asked in service.asked] == [{"hostname": FQDN, "myip": A}]


async def test_hurricane_electric_gets_a_request_a_changed_family(http: HttpClient) -> None:
    """Families go apart, and only those that changed."""
    async with serving(says("good")) as service:
        he = provider(http, service.url, preset=PRESETS["he"])
        await he.apply(BOTH)
        await he.apply(change(FQDN, [A, SIX], B, SIX))
    assert [asked.query["myip"] for asked in service.asked] == [A, SIX, B]


@pytest.mark.parametrize(("key", "addresses"), [("ovh", (A, SIX)), ("inwx", (SIX,))])
async def test_what_a_service_would_do_wrong_is_refused(http: HttpClient, key: str, addresses: tuple[str, ...]) -> None:
    """OVH has no IPv6; INWX without IPv4 would publish 127.0.0.1."""
    async with serving(says("good")) as service:
        with pytest.raises(ProviderRefused):
            await provider(http, service.url, preset=PRESETS[key], user="someone").apply(change(FQDN, [], *addresses))
    assert service.asked == []


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_is_documented_and_safe(preset: Preset) -> None:
    """A preset has a page to look it up, says what its user is, and goes over HTTPS."""
    assert preset.url.startswith("https://")
    assert preset.documentation.startswith("https://")
    assert preset.user
    assert PRESETS[preset.key] is preset


def test_strato_comes_first() -> None:
    """Lists of presets begin with Strato."""
    assert next(iter(PRESETS)) == "strato"


@pytest.mark.parametrize(
    ("preset", "user", "server", "said"),
    [
        (PRESETS["noip"], "", "", "providers.strato.user: is missing"),
        (PRESETS["strato"], "a:b", "", "providers.strato.user"),
        (GENERIC, "", "", "providers.strato.server: is missing"),
        (GENERIC, "", "http://dyndns.example/nic/update", "must begin with https://"),
        (GENERIC, "", "https://me:secret@dyndns.example/nic/update", "credentials"),
        (GENERIC, "", "https://dyndns.example/nic/update?password=secret", "parameters"),
        (GENERIC, "", "https://", "is not a URL"),
    ],
)
def test_wrong_settings_are_told(preset: Preset, user: str, server: str, said: str) -> None:
    """A setting that cannot be right is an error at once, without the secrets in it."""
    with pytest.raises(ConfigError, match=said) as raised:
        provider(HttpClient(), server, preset=preset, user=user)
    assert "secret" not in str(raised.value)
