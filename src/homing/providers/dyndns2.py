"""dyndns2: one GET a host, answered by one word (the codes of Dyn's Remote Access API, used by many services)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from homing.effects.http import HttpClient, HttpError, HttpResponse
from homing.effects.secret import Secret
from homing.errors import ConfigError, ModelError, ProviderBusy, ProviderLocked, ProviderRefused
from homing.model.address import Address, Family, parse_address
from homing.model.name import Name
from homing.model.rrset import FAMILIES, RRset
from homing.plan import Action, NameChange
from homing.providers.base import Traits
from homing.providers.credentials import combined_fingerprint, reveal
from homing.providers.https import authority, busy, endpoint, excerpt, retry_after
from homing.providers.presets import Pairing, Preset

RETRY_AFTER = 1800.0
"""Seconds to leave a service alone after 911 or dnserr: no sooner than 30 minutes."""

MAX_ANSWER = 16 * 1024
"""Bytes of an answer; the codes of one host take some tens."""

NOBODYS = "doctor.invalid"
"""A host that no account can have (RFC 2606, section 2)."""

_SUCCESS = frozenset(("good", "nochg"))
_AGENT_REJECTED = IPv4Address("127.0.0.1")
"""``good 127.0.0.1`` that was not asked for: the service drops this program's requests."""


@dataclass(frozen=True, slots=True)
class _Code:
    """What a code means: who is locked out, for how long, and what a person can do."""

    account: bool
    remedy: str
    seconds: float | None = None


_AGENT = "the service turns this program away; ask its support to admit Homing"

_CODES = {
    "badauth": _Code(True, "check the user and the password in {secret}"),
    "badagent": _Code(True, _AGENT),
    "badsys": _Code(True, "the service rejects how it was asked; check type and server of the provider"),
    "!donator": _Code(True, "the account lacks a paid feature; book it or take another provider"),
    "notfqdn": _Code(False, "the service wants a full host name; check fqdn"),
    "nohost": _Code(False, "this account has no such host; create it there or check fqdn and user"),
    "numhost": _Code(False, "the service says too many hosts; check fqdn"),
    "abuse": _Code(False, "the service blocked the host for abuse; unblock it in the account"),
    "!yours": _Code(False, "the host belongs to another account; check fqdn and user"),
    "911": _Code(True, "the service has a problem of its own", RETRY_AFTER),
    "dnserr": _Code(False, "the service has a DNS problem of its own", RETRY_AFTER),
}


class Dyndns2:
    """Publishes a host's addresses at a dyndns2 service, both families in one request; nothing can be read back.

    ``user`` empty means that the host name itself is the user. ``server`` takes the place of the preset's URL.
    ``cooldown`` and ``timeout`` are seconds. Raises ConfigError when a setting cannot be right.
    """

    def __init__(
        self,
        name: str,
        preset: Preset,
        *,
        http: HttpClient,
        password: Secret,
        user: str = "",
        server: str = "",
        cooldown: float = 60.0,
        timeout: float = 20.0,
    ) -> None:
        if not user and not preset.user_is_host:
            raise ConfigError(f"providers.{name}.user", "is missing", f"write {preset.user}")
        if ":" in user or not user.isprintable():
            raise ConfigError(f"providers.{name}.user", "has a character that no user name has", f"write {preset.user}")
        self._name = name
        self._preset = preset
        self._http = http
        self._password = password
        self._user = user
        self._url = endpoint(server, preset.url, f"providers.{name}.server")
        self._authority = authority(self._url)
        self._timeout = timeout
        self._traits = Traits(readable=False, cooldown=cooldown, parallel=1)

    def __repr__(self) -> str:
        return f"Dyndns2({self._name!r}, {self._preset.key})"

    @property
    def name(self) -> str:
        """The key of the provider in the settings."""
        return self._name

    @property
    def traits(self) -> Traits:
        """Not readable; one request at a time."""
        return self._traits

    def account(self, name: Name) -> str:
        """``USER@SERVER``; where the host is the user, each host is an account of its own."""
        return f"{self._user or name.text}@{self._authority}"

    def fingerprint(self, name: Name, salt: bytes) -> str:
        """Changes with the password, the user or the server."""
        return combined_fingerprint(self._password, salt, self.account(name))

    async def read(self, name: Name) -> tuple[RRset, ...]:
        """Raises ProviderRefused: dyndns2 has no way to ask."""
        raise ProviderRefused("unreadable", f"provider {self._name}: dyndns2 cannot read what {name.text} holds")

    async def apply(self, change: NameChange) -> None:
        """Send the addresses of both families; nothing when no address changes (a repeated ``nochg`` earns a block)."""
        if all(item.after is not None and item.after.same_data(item.before) for item in change.changes):
            return
        requests = self._requests(change)
        password = reveal(self._password, self._name)
        for params, asked in requests:
            try:
                response = await self._http.request(
                    "GET",
                    self._url,
                    timeout=self._timeout,
                    auth=(self._user or change.name.text, password),
                    params=params,
                    max_body=MAX_ANSWER,
                )
            except HttpError as error:
                raise busy(self._name, change.name.text, error) from None
            self._judge(response, change.name, asked, password)

    @property
    def tries_login(self) -> bool:
        """Whether the service is known to be one where ``login`` changes nothing and tells right from wrong."""
        return self._preset.login

    async def login(self, name: Name) -> str:
        """The service's code for the login of a name, asked for a host that nobody has; nothing can be changed by it.

        ``badauth`` when the login is wrong, ``nohost`` or ``notfqdn`` when it is right. Raises ProviderBusy.
        """
        password = reveal(self._password, self._name)
        keep = dict.fromkeys((self._preset.v4, self._preset.v6), self._preset.keep) if self._preset.keep else {}
        params = {**dict(self._preset.extra), "hostname": NOBODYS, **{key: text for key, text in keep.items() if text}}
        auth = (self._user or name.text, password)
        try:
            response = await self._http.request(
                "GET", self._url, timeout=self._timeout, auth=auth, params=params, max_body=MAX_ANSWER
            )
        except HttpError as error:
            raise busy(self._name, name.text, error) from None
        word = next(iter(response.text.split()), "")
        if word in _CODES or word in _SUCCESS:
            return word
        if response.status in (401, 403):
            return "badauth"
        if response.status == 404:
            return "nohost"
        text = f"provider {self._name}: HTTP {response.status} with {excerpt(response.text, password)!r} at a login"
        raise ProviderBusy("unknown-answer", text)

    def remedy(self, code: str) -> str:
        """What a person can do about a code; empty for a code that is none."""
        meaning = _CODES.get(code)
        return meaning.remedy.format(secret=self._password.origin) if meaning else ""

    async def aclose(self) -> None:
        """The HTTP client is not this provider's to close."""

    def _requests(self, change: NameChange) -> list[tuple[dict[str, str], frozenset[Address]]]:
        """The parameters of each request, and the addresses in it."""
        wanted = self._wanted(change)
        gone = {
            FAMILIES[item.type] for item in change.changes if item.action is Action.DELETE and item.type in FAMILIES
        }
        if gone and not self._can_drop(wanted):
            families = " and ".join(f"{family}" for family in sorted(gone))
            text = f"{self._preset.title} cannot remove an {families} address by dyndns2; remove it there by hand"
            raise self._refused("no-delete", change.name, text)
        if self._preset.pairing is not Pairing.APART:
            return [self._request(change.name, wanted, gone)]
        changed = {
            FAMILIES[item.type]
            for item in change.changes
            if item.type in FAMILIES and item.after is not None and not item.after.same_data(item.before)
        }
        return [self._request(change.name, {family: wanted[family]}, set()) for family in sorted(changed)]

    def _wanted(self, change: NameChange) -> dict[Family, tuple[Address, ...]]:
        preset = self._preset
        wanted = {FAMILIES[item.type]: item.addresses for item in change.wanted if item.type in FAMILIES}
        if not preset.many and any(len(addresses) > 1 for addresses in wanted.values()):
            raise self._refused("too-many", change.name, f"{preset.title} holds one address of a family; give it one")
        if preset.pairing is Pairing.ONLY_V4 and Family.V6 in wanted:
            raise self._refused("one-family", change.name, f"{preset.title} takes IPv4 only; write families = [4]")
        if preset.needs_v4 and Family.V4 not in wanted:
            raise self._refused("needs-ipv4", change.name, f"{preset.title} would publish 127.0.0.1; add IPv4")
        return wanted

    def _can_drop(self, wanted: dict[Family, tuple[Address, ...]]) -> bool:
        return self._preset.drop is not None or (self._preset.omitted_goes and bool(wanted))

    def _request(
        self, name: Name, wanted: dict[Family, tuple[Address, ...]], gone: set[Family]
    ) -> tuple[dict[str, str], frozenset[Address]]:
        preset = self._preset
        values: dict[str, list[str]] = {}
        for family, parameter in ((Family.V4, preset.v4), (Family.V6, preset.v6)):
            filler = preset.drop if family in gone else preset.keep
            if family in wanted:
                values.setdefault(parameter, []).extend(map(str, wanted[family]))
            elif filler is not None:
                values.setdefault(parameter, []).append(filler)
        joined = {parameter: ",".join(texts) for parameter, texts in values.items()}
        asked = frozenset(address for addresses in wanted.values() for address in addresses)
        return {**dict(preset.extra), "hostname": name.text, **joined}, asked

    def _judge(self, response: HttpResponse, name: Name, asked: frozenset[Address], password: str) -> None:
        """Return on success, else raise what the answer means. A body that merely contains "good" is no success."""
        lines = [line.split() for line in response.text.strip().splitlines()[:20] if line.strip()]
        failed = next((words[0] for words in lines if words[0] not in _SUCCESS), None)
        if failed in _CODES:
            raise self._locked(failed, name, _CODES[failed])
        if response.status in (401, 403):
            raise self._locked("badauth", name, _CODES["badauth"], f"badauth (HTTP {response.status})")
        if response.status == 429 or response.status >= 500:
            code = f"http-{response.status}"
            text = f"provider {self._name}: HTTP {response.status} for {name.text}; it is tried again by itself"
            raise ProviderBusy(code, text, seconds=retry_after(response))
        if 300 <= response.status < 400:
            raise self._refused("redirect", name, "the service redirects elsewhere; check server")
        if response.status != 200 or not lines or failed is not None:
            login = f"{self._user or name.text}:{password}"
            quoted = excerpt(response.text, login, password) or "an empty answer"
            raise self._refused("unknown-answer", name, f"HTTP {response.status} with {quoted!r}; check server")
        told = _addresses_in(lines)
        if _AGENT_REJECTED in told and _AGENT_REJECTED not in asked:
            raise self._locked("badagent", name, _CODES["badagent"], "badagent (good 127.0.0.1)")
        if told and not told & asked:
            shown = ", ".join(sorted(map(str, told)))[:80]
            raise self._refused("other-address", name, f"the service published {shown} instead of what was asked")

    def _locked(self, code: str, name: Name, meaning: _Code, shown: str = "") -> ProviderLocked:
        until = "until it changes" if meaning.seconds is None else f"for {meaning.seconds / 60:g} minutes"
        remedy = meaning.remedy.format(secret=self._password.origin)
        text = f"provider {self._name}: {shown or code} for {name.text}; {remedy}; updates stay paused {until}"
        return ProviderLocked(code, text, account=meaning.account, seconds=meaning.seconds)

    def _refused(self, code: str, name: Name, text: str) -> ProviderRefused:
        return ProviderRefused(code, f"provider {self._name}: {code} for {name.text}: {text}")


def _addresses_in(lines: list[list[str]]) -> frozenset[Address]:
    found: set[Address] = set()
    for words in lines:
        for text in re.split(r"[,;\s]+", " ".join(words[1:])):
            try:
                found.add(parse_address(text))
            except ModelError:
                continue
    return frozenset(found)
