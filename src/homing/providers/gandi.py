"""Gandi LiveDNS, version 5: one RRset a request, over HTTPS (https://api.gandi.net/docs/livedns)."""

from __future__ import annotations

import asyncio
from typing import Literal
from urllib.parse import quote

import msgspec

from homing.effects.clock import Clock, SystemClock
from homing.effects.http import HttpClient, HttpError, HttpResponse
from homing.effects.secret import Secret
from homing.errors import ConfigError, ProviderBusy, ProviderLocked, ProviderRefused
from homing.model.address import parse_address
from homing.model.name import Name
from homing.model.rrset import RRset, RRType, address_rrsets, type_name
from homing.plan import NameChange
from homing.providers.base import Traits
from homing.providers.credentials import combined_fingerprint, reveal
from homing.providers.https import authority, busy, endpoint, excerpt, retry_after
from homing.providers.rate import Rate

BASE = "https://api.gandi.net/v5/livedns"

MIN_TTL = 300
"""Seconds; LiveDNS takes no less."""

PER_MINUTE = 400
"""Requests; Gandi allows 1000 from one address, which others behind it may need as well."""

BURST = 40
"""Requests that may go out at once."""

PAUSE = 10.0
"""Seconds without any request after a 429 that names no time."""

RETRY_DOMAIN = 1800.0
"""Seconds until a domain that LiveDNS does not know is looked up again: a person may have added it there."""

MAX_DOMAINS = 10_000
"""Names whose domain is remembered."""


class Record(msgspec.Struct, frozen=True):
    """One RRset as LiveDNS tells it. ``rrset_ttl`` is seconds, ``rrset_name`` relative to the domain."""

    rrset_name: str
    rrset_type: str
    rrset_ttl: int
    rrset_values: tuple[str, ...]
    rrset_href: str = ""


class _Failure(msgspec.Struct, frozen=True):
    """What an error's body may say; which keys are there depends on the error."""

    object: str = ""
    message: str = ""
    cause: str = ""


class Gandi:
    """Reads and writes RRsets at Gandi LiveDNS.

    ``scheme`` is ``Bearer`` for a personal access token, ``Apikey`` for the deprecated key. ``domain`` is the domain
    that holds the names; without it, each name's parents are looked up. ``server`` takes the place of Gandi's URL.
    ``timeout`` is seconds for a whole ``read`` or ``apply``. Providers that share a ``rate`` share Gandi's limit.
    """

    def __init__(
        self,
        name: str,
        *,
        http: HttpClient,
        token: Secret,
        scheme: Literal["Bearer", "Apikey"] = "Bearer",
        domain: Name | None = None,
        server: str = "",
        timeout: float = 20.0,
        clock: Clock | None = None,
        rate: Rate | None = None,
    ) -> None:
        if domain is not None and len(domain.labels) < 2:
            raise ConfigError(
                f"providers.{name}.domain", f"{domain.text!r} is not a domain", 'write it like "example.net"'
            )
        self._name = name
        self._http = http
        self._token = token
        self._scheme = scheme
        self._domain = domain
        self._base = endpoint(server, BASE, f"providers.{name}.server").rstrip("/")
        self._timeout = timeout
        self._rate = rate or Rate(PER_MINUTE, BURST, clock or SystemClock())
        self._domains: dict[Name, Name] = {}
        self._found: set[Name] = set()

    def __repr__(self) -> str:
        return f"Gandi({self._name!r})"

    @property
    def name(self) -> str:
        """The key of the provider in the settings."""
        return self._name

    @property
    def traits(self) -> Traits:
        """Readable; TTLs of 300 seconds and more."""
        return Traits(readable=True, min_ttl=MIN_TTL)

    def account(self, name: Name) -> str:
        """All names share the token's account."""
        return authority(self._base)

    def fingerprint(self, name: Name, salt: bytes) -> str:
        """Changes with the token, the server or the domain."""
        domain = self._domain.text if self._domain else ""
        return combined_fingerprint(self._token, salt, self._scheme, self._base, domain)

    def requests(self, name: Name, change: NameChange | None = None) -> int:
        """How many requests ``read`` of a name makes at most, or ``apply`` of a change of it."""
        lookups = 0 if name in self._domains else len(self._candidates(name))
        return lookups + (len(change.changes) if change is not None else 2)

    async def read(self, name: Name) -> tuple[RRset, ...]:
        """The A and AAAA RRsets of the name."""
        try:
            async with asyncio.timeout(self._timeout):
                domain = await self._domain_of(name)
                found = [await self._record(domain, name, rtype) for rtype in (RRType.A, RRType.AAAA)]
        except TimeoutError:
            raise self._slow(name) from None
        return tuple(self._rrset(name, record) for record in found if record is not None)

    async def record(self, name: Name, rtype: RRType) -> Record | None:
        """One RRset as LiveDNS tells it, or None; raises as ``read`` does."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._record(await self._domain_of(name), name, rtype)
        except TimeoutError:
            raise self._slow(name) from None

    def link(self, name: Name) -> tuple[str, str] | None:
        """A name relative to its domain and the URL of its A RRset, once the domain is known; asks nobody."""
        domain = self._domains.get(name, self._domain)
        return (name.relative(domain), self._base + self._path(domain, name, "A")) if domain else None

    async def apply(self, change: NameChange) -> None:
        """Replace or remove each changed RRset by itself; after a failure the next reading tells what was done."""
        try:
            async with asyncio.timeout(self._timeout):
                domain = await self._domain_of(change.name)
                for item in change.changes:
                    path = self._path(domain, change.name, type_name(item.type))
                    if item.after is None:
                        await self._write("DELETE", path, change.name, None)
                    else:
                        ttl = max(item.after.ttl, MIN_TTL)
                        body = {"rrset_values": list(item.after.values), "rrset_ttl": ttl}
                        await self._write("PUT", path, change.name, body)
        except TimeoutError:
            raise self._slow(change.name) from None

    async def aclose(self) -> None:
        """The HTTP client is not this provider's to close."""

    async def _record(self, domain: Name, name: Name, rtype: RRType) -> Record | None:
        response = await self._request("GET", self._path(domain, name, type_name(rtype)), name)
        if response.status == 404 and self._is_said(response):
            return None
        if response.status == 404:
            raise self._unreadable(response, name)
        if response.status != 200:
            raise self._failure(response, name)
        try:
            record = msgspec.json.decode(response.body, type=Record)
        except msgspec.DecodeError:
            raise self._unreadable(response, name) from None
        if record.rrset_type != type_name(rtype):
            raise self._unreadable(response, name)
        return record

    async def _write(self, method: str, path: str, name: Name, body: object) -> None:
        response = await self._request(method, path, name, body)
        if response.status == 404 and method == "PUT":
            # The domain was there and is gone: look it up again before the next change.
            self._domains.clear()
            self._found.clear()
            raise self._not_in_livedns(name)
        if response.status not in (200, 201, 202, 204) and not (method == "DELETE" and response.status == 404):
            raise self._failure(response, name)

    async def _domain_of(self, name: Name) -> Name:
        """The LiveDNS domain that holds a name: the first of the name and its parents that LiveDNS knows."""
        if self._domain is not None and not name.is_within(self._domain):
            text = f"provider {self._name}: {name.text} is not in {self._domain.text}; check domain in the settings"
            raise ProviderRefused("outside-domain", text)
        known = self._domains.get(name)
        if known is not None:
            return known
        forbidden: HttpResponse | None = None
        for candidate in self._candidates(name):
            if candidate in self._found:
                return self._holds(candidate, name)
            response = await self._request("GET", f"/domains/{quote(candidate.text, safe='')}", name)
            if response.status == 200:
                return self._holds(candidate, name)
            if response.status == 403:
                # A token for one domain may be refused at its neighbours; ask on before giving up.
                forbidden = response
            elif response.status != 404:
                raise self._failure(response, name)
        raise self._failure(forbidden, name) if forbidden is not None else self._not_in_livedns(name)

    def _candidates(self, name: Name) -> list[Name]:
        return [self._domain] if self._domain else [item for item in name.ancestors() if len(item.labels) > 1]

    def _holds(self, domain: Name, name: Name) -> Name:
        """Remember that LiveDNS has a domain, and that it holds a name."""
        if len(self._domains) >= MAX_DOMAINS:
            self._domains.clear()
            self._found.clear()
        self._domains[name] = domain
        self._found.add(domain)
        return domain

    async def _request(self, method: str, path: str, name: Name, body: object = None) -> HttpResponse:
        token = reveal(self._token, self._name)
        if not token.isascii() or not token.isprintable() or " " in token:
            text = f"provider {self._name}: the token in {self._token.origin} has characters that no token has"
            raise ProviderLocked("bad-token", f"{text}; updates stay paused until it changes", account=True)
        wait = await self._rate.admit(self._timeout)
        if wait:
            text = f"provider {self._name}: too many requests for now; {name.text} waits {wait:.0f} s"
            raise ProviderBusy("rate-limit", text, seconds=wait)
        headers = {"Authorization": f"{self._scheme} {token}", "Accept": "application/json"}
        try:
            return await self._http.request(
                method, self._base + path, timeout=self._timeout, headers=headers, json=body
            )
        except HttpError as error:
            raise busy(self._name, name.text, error) from None

    def _failure(self, response: HttpResponse, name: Name) -> ProviderBusy | ProviderLocked | ProviderRefused:
        status = response.status
        code, head = f"http-{status}", f"provider {self._name}: HTTP {status} for {name.text}"
        if status in (401, 403):
            remedy = f"check the token in {self._token.origin}: it may have expired, or lack the right to this domain"
            return ProviderLocked(code, f"{head}; {remedy}; updates stay paused until it changes", account=True)
        if status == 429:
            seconds = retry_after(response)
            self._rate.pause(seconds or PAUSE)
            return ProviderBusy(code, f"{head}: too many requests; it is tried again by itself", seconds=seconds)
        if status >= 500:
            return ProviderBusy(code, f"{head}; it is tried again by itself", seconds=retry_after(response))
        return ProviderRefused(code, f"{head}: {self._told(response)}")

    def _is_said(self, response: HttpResponse) -> bool:
        """Whether LiveDNS itself speaks, in JSON; a 404 from something in between is no news of a record."""
        try:
            msgspec.json.decode(response.body, type=_Failure)
        except msgspec.DecodeError:
            return False
        return True

    def _told(self, response: HttpResponse) -> str:
        try:
            failure = msgspec.json.decode(response.body, type=_Failure)
        except msgspec.DecodeError:
            failure = _Failure()
        text = failure.message or failure.cause or response.text or "an empty answer"
        return excerpt(text, *self._secrets())

    def _secrets(self) -> tuple[str, ...]:
        try:
            return (self._token.reveal(),)
        except ConfigError:
            return ()

    def _unreadable(self, response: HttpResponse, name: Name) -> ProviderBusy:
        quoted = excerpt(response.text, *self._secrets())
        text = (
            f"provider {self._name}: cannot read the answer for {name.text} ({quoted!r}); it is tried again by itself"
        )
        return ProviderBusy("bad-answer", text)

    def _not_in_livedns(self, name: Name) -> ProviderLocked:
        where = f"domain {self._domain.text} is not" if self._domain else f"no parent of {name.text} is"
        remedy = f"add the domain at Gandi or check fqdn and domain; looked up again in {RETRY_DOMAIN / 60:g} minutes"
        text = f"provider {self._name}: {where} in LiveDNS; {remedy}"
        return ProviderLocked("no-domain", text, account=False, seconds=RETRY_DOMAIN)

    def _slow(self, name: Name) -> ProviderBusy:
        text = (
            f"provider {self._name}: no answer for {name.text} within {self._timeout:g} s; it is tried again by itself"
        )
        return ProviderBusy("timeout", text)

    def _path(self, domain: Name, name: Name, rtype: str) -> str:
        return f"/domains/{quote(domain.text, safe='')}/records/{quote(name.relative(domain).lower(), safe='')}/{rtype}"

    def _rrset(self, name: Name, record: Record) -> RRset:
        try:
            (found,) = address_rrsets(name, record.rrset_ttl, map(parse_address, record.rrset_values))
        except ValueError:
            # Not addresses (ModelError is a ValueError), none, or of both families.
            found = None
        if found is None or type_name(found.type) != record.rrset_type:
            quoted = excerpt(", ".join(record.rrset_values))
            text = f"provider {self._name}: {name.text} {record.rrset_type} holds {quoted!r}, which cannot be"
            raise ProviderBusy("bad-answer", f"{text}; it is tried again by itself")
        return found
