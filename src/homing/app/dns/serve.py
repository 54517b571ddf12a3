"""``homing dns`` as a process: read the master files, serve them, read again at SIGHUP, end at SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from homing import __version__
from homing.app.dns.figures import SHOWN, DnsFigures, build_figures
from homing.app.dns.files import Found, Progress, ZoneFiles
from homing.app.dns.local import answering
from homing.app.dns.versions import Remembered
from homing.app.listening import listening
from homing.app.notify import notify_service_manager
from homing.dns.authority import Authority
from homing.dns.server import DnsServer
from homing.dns.stats import Stats
from homing.effects.clock import Clock, SystemClock
from homing.effects.log import get_logger
from homing.errors import ConfigError, StoreError
from homing.model.zone import Zone
from homing.store import Event, StateLock, Store
from homing.web.view import ChangeView, StateView, ZoneView

log = get_logger("dns")

SERIALS = "dns-serials"
"""The store's key of the serials last served."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. ``bind`` are IP addresses, an empty one stands for all; ``web`` host and port."""

    files: tuple[Path, ...]
    directories: tuple[Path, ...]
    bind: tuple[str, ...]
    port: int
    workers: int
    state: Path
    web: tuple[tuple[str, int], ...] = ()


class FileServer:
    """Serves master files until it is told to stop."""

    def __init__(self, options: Options, *, clock: Clock | None = None) -> None:
        self._options = options
        self._clock = clock or SystemClock()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._files = ZoneFiles(options.files, options.directories)
        self._errors: tuple[ConfigError, ...] = ()
        self._changes: tuple[ChangeView, ...] = ()
        self._server: DnsServer | None = None
        self.authority = Authority()
        self.started = self._clock.time()
        self.web_listen: tuple[str, ...] = ()

    @property
    def options(self) -> Options:
        """What the command line said."""
        return self._options

    @property
    def broken(self) -> tuple[str, ...]:
        """What is wrong with the files now, a sentence each."""
        return tuple(str(error) for error in self._errors)

    @property
    def stats(self) -> Stats:
        """What was counted until now."""
        return self._server.stats if self._server is not None else Stats()

    @property
    def dns_listen(self) -> tuple[str, ...]:
        """The addresses listened on now."""
        return tuple(told(*address) for address in self._server.addresses) if self._server is not None else ()

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return self._server.connections if self._server is not None else 0

    @property
    def workers(self) -> int:
        """How many worker processes run."""
        return len(self._server.workers) if self._server is not None else 0

    async def run(self, announce: Callable[[FileServer], None], progress: Progress = lambda done, of: None) -> None:
        """Serve until SIGTERM. Raises HomingError when it cannot start: no zone, no address, no state directory."""
        async with contextlib.AsyncExitStack() as stack:
            self._handle_signals(stack)
            stack.enter_context(StateLock(self._options.state))
            store = stack.enter_context(Store(self._options.state))
            remembered = _remembered(store)
            found = await self._unless_stopped(_in_thread(lambda: self._files.read(progress)))
            if found is None:
                return
            self._tell(found)
            if not found.zones:
                raise ConfigError("no zone to serve", *_why_none(found))
            await self._publish(found, remembered, store)
            if self._stop.is_set():
                return
            gc.freeze()  # the zones stay: looking through them for garbage would hold up answers
            await stack.enter_async_context(self._serving())
            announce(self)
            notify_service_manager("READY=1")
            await self._live(remembered, store)
            notify_service_manager("STOPPING=1")

    async def _live(self, remembered: Remembered, store: Store) -> None:
        while not self._stop.is_set():
            await _first(self._stop, self._reload)
            if self._stop.is_set():
                return
            self._reload.clear()
            notify_service_manager("RELOADING=1")
            found = await self._unless_stopped(_in_thread(self._files.read))
            if found is not None:
                self._tell(found)
                await self._publish(found, remembered, store)
            notify_service_manager("READY=1")

    async def _publish(self, found: Found, remembered: Remembered, store: Store) -> None:
        """Serve what changed; serials are on disk before they count (law 8)."""
        served = self.authority.zones.loaded
        withdrawn = served.keys() - found.zones.keys()
        versions = await self._unless_stopped(_in_thread(lambda: remembered.versions(found.zones, served)))
        if versions is None:
            return
        changed = versions.changed
        for path, read, version in versions.renumbered[:SHOWN]:
            log.warning(
                "zone is served under a serial that its file does not have",
                zone=read.origin.text, file=str(path), in_file=read.serial, served=version.serial,
                remedy=f"raise the serial in the file above {version.serial} with each change",
            )  # fmt: skip
        if changed:
            try:
                await asyncio.to_thread(store.save_document, SERIALS, remembered.document(), self._clock.time())
            except StoreError as error:  # an edit is served all the same; after a restart its serial may be another
                log.error("serials cannot be saved", reason=str(error))  # noqa: TRY400
        first = self._server is None
        before = {zone.origin: served[zone.origin].serial for zone in changed if zone.origin in served}
        # Workers hear of awaited zones when they start, so these stay until they are there.
        self.authority.replace(changed, withdrawn, found.awaited if first else ())
        if self._server is not None:
            await self._unless_stopped(self._server.synced())
        if not first:
            lines = [(z.origin.text, f"serial {before.get(z.origin, 'none')} -> {z.serial}") for z in changed]
            lines += [(origin.text, "withdrawn, its file is gone") for origin in withdrawn]
            for zone, what in lines[:SHOWN]:
                log.info("zone taken over", zone=zone, what=what)
            log.info(
                "zone files read again", changed=len(changed), withdrawn=len(withdrawn), errors=len(found.errors),
                zones=len(found.zones),
            )  # fmt: skip
            await asyncio.to_thread(self._record, store, lines[:SHOWN])
        await asyncio.to_thread(self._recall, store)

    def _record(self, store: Store, lines: list[tuple[str, str]]) -> None:
        with contextlib.suppress(StoreError):  # told by the log when the serials were to be saved
            for zone, what in lines:
                store.record_event(Event(self._clock.time(), "zone", zone, what))

    def _recall(self, store: Store) -> None:
        """Look up what the page shows as the last changes."""
        if not self._options.web:
            return
        from homing.app.views import SHOWN_CHANGES, change_views

        with contextlib.suppress(StoreError):
            self._changes = change_views([], [], store.events(limit=SHOWN_CHANGES))

    def _tell(self, found: Found) -> None:
        self._errors = found.errors
        for error in found.errors[:SHOWN]:
            log.error("zone file not taken over", reason=str(error))
        if len(found.errors) > SHOWN:
            log.error("and more zone files not taken over", count=len(found.errors) - SHOWN)

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncGenerator[None, None]:
        async with contextlib.AsyncExitStack() as stack:
            server = DnsServer(self.authority, clock=self._clock, workers=self._options.workers)
            stack.push_async_callback(server.aclose)
            pairs = [(host, self._options.port) for host in self._options.bind]
            await stack.enter_async_context(listening(server, pairs, self._clock))
            self._server = server
            figures = lambda: msgspec.json.encode(self.figures())  # noqa: E731 - two users, one line
            await stack.enter_async_context(answering(self._options.state, figures))
            if self._options.web:
                await asyncio.to_thread(__import__, "homing.web.server")
                from homing.app.dns_metrics import exposition
                from homing.web.server import WebServer

                metrics = exposition(
                    lambda: self.stats,
                    self.authority,
                    workers=lambda: self.workers,
                    connections=lambda: self.connections,
                    broken=lambda: len(self._errors),
                )
                page = WebServer(self.view, ready=lambda: None, metrics=metrics, documents={"/dns": self.figures})
                addresses = await page.start(list(self._options.web))
                stack.push_async_callback(page.aclose)
                self.web_listen = tuple(told(*address) for address in addresses)
            yield

    def figures(self) -> DnsFigures:
        """What was counted until now."""
        return build_figures(
            self.stats,
            self.authority,
            started=self.started,
            at=self._clock.time(),
            listen=self.dns_listen,
            workers=self.workers,
            connections=self.connections,
            broken=self.broken,
        )

    def view(self) -> StateView:
        """The zones as the page shows them."""
        zones = list(self.authority.zones.loaded.values())
        return StateView(
            version=__version__,
            host=socket.gethostname(),
            origin="homing dns",
            started=self.started,
            at=self._clock.time(),
            zones=tuple(ZoneView(zone.origin.text, zone.serial, _records(zone)) for zone in zones[:SHOWN]),
            dns_listen=self.dns_listen,
            web_listen=self.web_listen,
            changes=self._changes,
            trouble=self.broken[:SHOWN],
        )

    def _handle_signals(self, stack: contextlib.AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        reactions = ((signal.SIGTERM, self._stop), (signal.SIGINT, self._stop), (signal.SIGHUP, self._reload))
        for number, event in reactions:
            loop.add_signal_handler(number, event.set)
            stack.callback(loop.remove_signal_handler, number)

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """What comes of it; None as soon as it is time to stop."""
        working = asyncio.ensure_future(work)
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            stopped.cancel()
            working.cancel()


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """What a thread makes of it, for which nobody waits at the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(finish: Callable[[], None]) -> None:
        if not future.done():
            finish()

    def run() -> None:
        try:
            finish = functools.partial(future.set_result, work())
        except BaseException as error:  # noqa: BLE001 - handed over whole, to be raised where it is awaited
            finish = functools.partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, finish)

    threading.Thread(target=run, name="zone files", daemon=True).start()
    return future


async def _first(*events: asyncio.Event) -> None:
    """Wait for any of these."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _remembered(store: Store) -> Remembered:
    found = store.document(SERIALS)
    try:
        return Remembered(found[1] if found else None)
    except msgspec.DecodeError as error:
        log.error("remembered serials cannot be read", reason=str(error))  # noqa: TRY400
        return Remembered()


def _why_none(found: Found) -> tuple[str, str]:
    if found.errors:
        return f"{len(found.errors)} zone files are wrong, as told above", "correct them; homing dns check says more"
    return "the folders hold no *.zone file", "name a master file with --zone-file, or another folder with --zone-dir"


def _records(zone: Zone) -> int:
    return 1 + sum(len(item.rdatas) for item in zone.rrsets())


def told(host: str, port: int) -> str:
    """An address and port as people write them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
