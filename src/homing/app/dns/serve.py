"""``homing dns`` as a process: read the master files, serve them, read again at SIGHUP, end at SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import random
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from homing import __version__
from homing.app.dns.aside import end_at, first_of, unless
from homing.app.dns.figures import SHOWN, DnsFigures, build_figures, secondary_figures
from homing.app.dns.files import Found, Progress, ZoneFiles
from homing.app.dns.local import answering
from homing.app.dns.publish import Publisher, Taken
from homing.app.listening import listening
from homing.app.notify import notify_service_manager
from homing.app.secondaries import ReadPolicy
from homing.app.transfers import Transfers
from homing.app.zone_views import zone_views
from homing.dns.authority import Authority
from homing.dns.engine.setup import Setup
from homing.dns.server import DnsServer
from homing.dns.stats import Stats
from homing.dns.transfers.policy import TransferPolicy, ZonePolicy
from homing.effects.clock import Clock, SystemClock
from homing.effects.garbage import give_back
from homing.effects.log import get_logger
from homing.effects.thread import in_thread
from homing.errors import ConfigError, StoreError
from homing.model.name import Name
from homing.store import Event, StateLock, Store
from homing.turn.memory import Memory
from homing.web.view import ChangeView, StateView

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

log = get_logger("dns")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. ``bind`` are IP addresses, an empty one stands for all; ``web`` host and port.

    ``follow`` says who follows the zones and who may transfer them, ``setup`` how the server answers.
    """

    files: tuple[Path, ...]
    directories: tuple[Path, ...]
    bind: tuple[str, ...]
    port: int
    workers: int
    state: Path
    web: tuple[tuple[str, int], ...] = ()
    web_token: Path | None = None
    """The file of the token that readers of the page must give."""
    follow: ReadPolicy = TransferPolicy
    setup: Setup = field(default_factory=Setup)
    linger: float = 0.0
    """Seconds to go on answering after SIGTERM, while ``/readyz`` says that it ends."""


class Beside(Protocol):
    """Zones that come from elsewhere than files."""

    @property
    def origins(self) -> Collection[Name]:
        """Those that there are now."""
        ...

    async def open(self, authority: Authority, store: Store, transfers: Transfers, files: Collection[Name]) -> None:
        """Serve what was served last, but none of those that files hold."""
        ...

    async def run(self) -> None:
        """Follow them until cancelled."""
        ...

    async def overtake(self, origin: Name, serial: int) -> None:
        """Give a zone a serial above one that a secondary has."""
        ...

    def problem(self) -> str | None:
        """Why nothing can be served yet."""
        ...

    def stuck(self) -> str | None:
        """Why the process should be started anew."""
        ...

    def is_live(self) -> bool:
        """Whether what is served was looked at of late."""
        ...

    @property
    def collector(self) -> Collector:
        """What is counted of it."""
        ...


class FileServer:
    """Serves master files, and zones ``beside`` them, until it is told to stop."""

    def __init__(self, options: Options, *, clock: Clock | None = None, beside: Beside | None = None) -> None:
        self._options = options
        self._beside = beside
        self._clock = clock or SystemClock()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._lingers = False
        self._files = ZoneFiles(options.files, options.directories)
        self._errors: tuple[ConfigError, ...] = ()
        self._changes: tuple[ChangeView, ...] = ()
        self._server: DnsServer | None = None
        self._transfers: Transfers
        self._catalog: Name | None = None
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
            policy = self._options.follow()
            self._catalog = policy.catalog
            keeps = policy.default != ZonePolicy() or self._beside is not None
            stack.callback(gc.enable)
            gc.disable()  # looking through millions of new records again and again would hold up a SIGTERM for seconds
            found = await unless(self._stop, in_thread(lambda: self._files.read(progress, end_at(self._stop))))
            if found is None:
                return
            found = self._tell(found)
            memory = Memory(store)
            stack.callback(memory.close)
            transfers = Transfers(
                self.authority, memory, store if keeps else None, clock=self._clock, chance=random.SystemRandom()
            )
            self._transfers = await stack.enter_async_context(transfers)
            transfers.follow(self._options.follow)
            publisher = Publisher(
                self.authority, store, transfers, self._clock, keeps=keeps, beside=self._origins_beside
            )
            transfers.overtake = functools.partial(self._overtake, publisher)
            if self._beside is not None:
                await self._beside.open(self.authority, store, transfers, found.zones.keys() | found.awaited)
            await unless(self._stop, self._begin(publisher, found))
            if self._stop.is_set():
                return
            await asyncio.to_thread(self._recall, store)
            gc.freeze()  # the zones stay: looking through them for garbage would hold up answers
            gc.enable()
            give_back()
            await stack.enter_async_context(self._serving(store))
            transfers.begin()
            announce(self)
            notify_service_manager("READY=1")
            if self._beside is not None:
                await stack.enter_async_context(self._following(self._beside))
            await self._live(publisher, store)
            notify_service_manager("STOPPING=1")

    async def _begin(self, publisher: Publisher, found: Found) -> None:
        await publisher.begin(found)
        if not found.zones and not self.authority.ready and self._beside is None:
            raise ConfigError("no zone to serve", *_why_none(found))
        await publisher.publish(found)

    @contextlib.asynccontextmanager
    async def _following(self, beside: Beside) -> AsyncGenerator[None, None]:
        """Follow the zones beside while entered; when that fails, stop."""
        running = asyncio.ensure_future(beside.run())
        running.add_done_callback(lambda _: self._stop.set())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    def _origins_beside(self) -> Collection[Name]:
        return self._beside.origins if self._beside is not None else ()

    async def _overtake(self, publisher: Publisher, origin: Name, serial: int) -> None:
        if self._beside is not None and origin in self._beside.origins:
            await self._beside.overtake(origin, serial)
        else:
            await publisher.overtake(origin, serial)

    async def _live(self, publisher: Publisher, store: Store) -> None:
        while not self._stop.is_set():
            await first_of(self._stop, self._reload)
            if self._stop.is_set():
                return
            self._reload.clear()
            notify_service_manager("RELOADING=1")
            await unless(self._stop, self._take_over(publisher, store))
            notify_service_manager("READY=1")

    async def _take_over(self, publisher: Publisher, store: Store) -> None:
        """Read the files again, and serve what changed."""
        found = self._tell(await in_thread(lambda: self._files.read(pulse=end_at(self._stop))))
        taken = await publisher.publish(found)
        assert self._server is not None  # noqa: S101 - it serves
        await self._server.synced()
        for zone, what in taken.lines:
            log.info("zone taken over", zone=zone, what=what)
        log.info(
            "zone files read again", changed=taken.changed, withdrawn=len(taken.withdrawn), errors=len(found.errors),
            zones=len(found.zones),
        )  # fmt: skip
        await asyncio.to_thread(self._record, store, taken)
        await asyncio.to_thread(self._recall, store)

    def _record(self, store: Store, taken: Taken) -> None:
        with contextlib.suppress(StoreError):  # told by the log when the serials were to be saved
            for zone, what in taken.lines:
                store.record_event(Event(self._clock.time(), "zone", zone, what))

    def _recall(self, store: Store) -> None:
        """Look up what the page shows as the last changes."""
        if not self._options.web:
            return
        from homing.app.views import SHOWN_CHANGES, change_views

        with contextlib.suppress(StoreError):
            self._changes = change_views([], [], store.events(limit=SHOWN_CHANGES))

    def _tell(self, found: Found) -> Found:
        """Say what is wrong; what is left can be served."""
        if self._catalog is not None and self._catalog in found.zones:
            found = _without(found, self._catalog, "is the catalog's name", "give --catalog another")
        for origin in found.zones.keys() & set(self._origins_beside()):
            found = _without(found, origin, "is served as the cluster's Zone has it", "remove one of the two")
        self._errors = found.errors
        for error in found.errors[:SHOWN]:
            log.error("zone file not taken over", reason=str(error))
        if len(found.errors) > SHOWN:
            log.error("and more zone files not taken over", count=len(found.errors) - SHOWN)
        return found

    @contextlib.asynccontextmanager
    async def _serving(self, store: Store) -> AsyncGenerator[None, None]:
        async with contextlib.AsyncExitStack() as stack:
            server = DnsServer(
                self.authority,
                clock=self._clock,
                primary=self._transfers.primary,
                workers=self._options.workers,
                setup=self._options.setup,
            )
            stack.push_async_callback(server.aclose)
            pairs = [(host, self._options.port) for host in self._options.bind]
            await stack.enter_async_context(listening(server, pairs, self._clock))
            self._server = server
            figures = lambda: msgspec.json.encode(self.figures())  # noqa: E731 - two users, one line
            await stack.enter_async_context(answering(self._options.state, figures))
            if self._options.web:
                await asyncio.to_thread(__import__, "homing.web.server")
                from homing.app.dns_metrics import TransferCollector, exposition
                from homing.web.access import Access
                from homing.web.server import WebServer

                token = self._options.web_token
                metrics = exposition(
                    lambda: self.stats,
                    self.authority,
                    workers=lambda: self.workers,
                    connections=lambda: self.connections,
                    broken=lambda: len(self._errors),
                    more=(
                        TransferCollector(self._transfers.following),
                        *((self._beside.collector,) if self._beside is not None else ()),
                    ),
                )
                page = WebServer(
                    self.view,
                    ready=self._problem,
                    healthy=self._beside.stuck if self._beside is not None else lambda: None,
                    live=self._beside.is_live if self._beside is not None else lambda: True,
                    metrics=metrics,
                    documents={"/dns": self.figures},
                    access=Access(token, "--web-token-file") if token is not None else None,
                    past=store,
                    queries=self._answered,
                    clock=self._clock,
                )
                addresses = await page.start(list(self._options.web))
                stack.push_async_callback(page.aclose)
                self.web_listen = tuple(told(*address) for address in addresses)
            yield

    def _answered(self) -> int:
        return self.stats.queries.total()

    def _problem(self) -> str | None:
        if self._lingers:
            return "ending: still answering"
        return self._beside.problem() if self._beside is not None else None

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
            secondaries=secondary_figures(self._transfers.following.standings(), self._transfers.told, self.authority),
        )

    def view(self) -> StateView:
        """The zones as the page shows them."""
        transfers = self._transfers
        return StateView(
            version=__version__,
            host=socket.gethostname(),
            origin="homing dns",
            started=self.started,
            at=self._clock.time(),
            zones=zone_views(self.authority, transfers.following.standings(), transfers.told),
            dns_listen=self.dns_listen,
            web_listen=self.web_listen,
            changes=self._changes,
            trouble=self.broken[:SHOWN],
        )

    def _handle_signals(self, stack: contextlib.AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        reactions = ((signal.SIGTERM, self._end), (signal.SIGINT, self._stop.set), (signal.SIGHUP, self._reload.set))
        for number, react in reactions:
            loop.add_signal_handler(number, react)
            stack.callback(loop.remove_signal_handler, number)

    def _end(self) -> None:
        """Stop, at once or after a time in which whoever sends queries here learns to send them elsewhere."""
        if self._lingers or not self._options.linger or self._server is None:
            self._stop.set()
            return
        self._lingers = True
        log.info("ending, still answering", seconds=self._options.linger)
        asyncio.get_running_loop().call_later(self._options.linger, self._stop.set)


def _without(found: Found, origin: Name, why: str, remedy: str) -> Found:
    """Without a zone that is made elsewhere; a file of that name would be another one."""
    zones = dict(found.zones)
    path, _ = zones.pop(origin)
    wrong = ConfigError(str(path), f"{origin.text} {why}", remedy)
    return Found(zones, (*found.errors, wrong), found.awaited)


def _why_none(found: Found) -> tuple[str, str]:
    if found.errors:
        return f"{len(found.errors)} zone files are wrong, as told above", "correct them; homing dns check says more"
    return "the folders hold no *.zone file", "name a master file with --zone-file, or another folder with --zone-dir"


def told(host: str, port: int) -> str:
    """An address and port as people write them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
