"""Lists of STUN servers, one ``host:port`` a line, from files and URLs; with a copy on disk for bad days."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from homing.detect.builtin import STUN_TCP, STUN_UDP
from homing.detect.observers import StunServer, literal
from homing.detect.stun import DEFAULT_PORT, Transport
from homing.effects.clock import Clock
from homing.effects.http import HttpClient, HttpError
from homing.errors import ModelError, ObservationError
from homing.model.address import Network, publishable
from homing.model.name import is_host_name, parse_name

MAX_BYTES = 256 * 1024
"""Bytes of a list that are read; a longer one is refused."""

MAX_SERVERS = 2000
"""Servers of a list that are kept."""

REFRESH = 24 * 3600.0
"""Seconds between two fetches of a list."""

RETRY = 600.0
"""Seconds until a fetch that failed is tried again."""

TIMEOUT = 10.0
"""Seconds for a fetch."""

_COMMENT = re.compile("#|;|//")


def parse_list(data: bytes, transport: Transport, accept: Sequence[Network] = ()) -> tuple[StunServer, ...]:
    """The servers in a list, in its order, each once.

    ``#``, ``;`` and ``//`` start comments; the port may be left out; what is no host name, no globally reachable
    address (or one in ``accept``) or no port is skipped. Raises ObservationError when it is too long or names nobody.
    """
    if len(data) > MAX_BYTES:
        raise ObservationError(f"the list is longer than {MAX_BYTES} bytes")
    found: dict[tuple[str, int], None] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        entry = _entry(line, accept)
        if entry is not None:
            found[entry] = None
        if len(found) >= MAX_SERVERS:
            break
    if not found:
        raise ObservationError("the list names no server; it needs one host:port a line")
    return tuple(StunServer(host, port, transport) for host, port in found)


def _entry(line: str, accept: Sequence[Network]) -> tuple[str, int] | None:
    text = _COMMENT.split(line, maxsplit=1)[0].strip().removeprefix("stun:")
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]") or literal(text) is not None:
        host, port = text, str(DEFAULT_PORT)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        return None
    address = literal(host)
    if address is not None:
        return (str(address), int(port)) if publishable(address, accept) else None
    try:
        return (host.lower(), int(port)) if is_host_name(parse_name(host)) and ":" not in host else None
    except ModelError:
        return None


@dataclass(frozen=True, slots=True)
class ListSource:
    """Where a list comes from: a path, or an http(s) URL."""

    location: str
    transport: Transport

    @property
    def is_url(self) -> bool:
        """Whether it is fetched."""
        return self.location.startswith(("http://", "https://"))


class ServerLists:
    """The STUN servers to ask, from lists that refresh themselves.

    ``servers`` never waits: it chooses from what is known, which is the last list fetched, else its copy in
    ``cache``, else the built-in list. ``refresh`` brings the lists up to date.
    """

    def __init__(
        self,
        sources: Sequence[ListSource],
        *,
        http: HttpClient,
        clock: Clock,
        chance: random.Random,
        cache: Path | None = None,
        limits: tuple[int, int] = (5, 5),
        accept: Sequence[Network] = (),
    ) -> None:
        self._sources = tuple(sources)
        self._http = http
        self._clock = clock
        self._chance = chance
        self._cache = cache
        self._limits = {Transport.UDP: limits[0], Transport.TCP: limits[1]}
        self._accept = accept
        self._lists: dict[ListSource, tuple[StunServer, ...]] = {}
        self._due: dict[ListSource, float] = {}
        self.problems: dict[str, str] = {}
        """Why a list is not what it should be, by its location; for logs and the page."""
        for source in self._sources:
            self._load(source)

    def servers(self) -> tuple[StunServer, ...]:
        """At most the limit of each transport, chosen anew by chance each time."""
        chosen: list[StunServer] = []
        for transport, builtin in ((Transport.UDP, STUN_UDP), (Transport.TCP, STUN_TCP)):
            sources = [source for source in self._sources if source.transport is transport]
            known = dict.fromkeys(server for source in sources for server in self._lists.get(source, ()))
            pool = list(known) or (list(builtin) if sources else [])
            chosen += self._chance.sample(pool, min(self._limits[transport], len(pool)))
        return tuple(chosen)

    async def run(self) -> None:
        """Keep the lists fresh until cancelled."""
        while True:
            await self.refresh()
            await self._clock.sleep(RETRY)

    async def refresh(self) -> None:
        """Fetch the lists that are due: those older than a day, or whose last fetch failed. Never raises for that."""
        await asyncio.gather(*(self._refresh(source) for source in self._sources))

    async def _refresh(self, source: ListSource) -> None:
        now = self._clock.time()
        if now < self._due.get(source, 0.0) <= now + REFRESH:
            return
        if not source.is_url:
            self._load(source)
            return
        try:
            data = await self._fetch(source)
            self._lists[source] = parse_list(data, source.transport, self._accept)
        except (HttpError, ObservationError) as error:
            self.problems[source.location] = str(error)
            self._due[source] = self._clock.time() + RETRY
        else:
            self.problems.pop(source.location, None)
            self._due[source] = self._clock.time() + REFRESH
            self._save(source, data)

    async def _fetch(self, source: ListSource) -> bytes:
        response = await self._http.request(
            "GET", source.location, timeout=TIMEOUT, max_body=MAX_BYTES, max_redirects=3
        )
        if response.status != 200:
            raise ObservationError(f"the server answered with status {response.status}")
        return response.body

    def _load(self, source: ListSource) -> None:
        """Read a list's file, or the copy of one that is fetched."""
        path = self._copy(source) if source.is_url else Path(source.location)
        if path is None:
            return
        try:
            with path.open("rb") as file:
                self._lists[source] = parse_list(file.read(MAX_BYTES + 1), source.transport, self._accept)
                age = os.fstat(file.fileno()).st_mtime
        except (OSError, ObservationError) as error:
            if not source.is_url:
                self.problems[source.location] = str(error)
                self._due[source] = self._clock.time() + RETRY
            return
        self.problems.pop(source.location, None)
        self._due[source] = min(age, self._clock.time()) + REFRESH if source.is_url else self._clock.time() + REFRESH

    def _save(self, source: ListSource, data: bytes) -> None:
        """Keep a copy, whole or not at all; a disk that refuses costs only the copy."""
        path = self._copy(source)
        if path is None:
            return
        fresh = path.with_suffix(".new")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(data)
            os.utime(fresh, (self._clock.time(), self._clock.time()))
            fresh.replace(path)

    def _copy(self, source: ListSource) -> Path | None:
        digest = hashlib.sha256(f"{source.transport.value} {source.location}".encode()).hexdigest()[:16]
        return None if self._cache is None else self._cache / f"stun-{digest}.txt"
