"""The daemon: holds the state, serves DNS and the page, observes, and takes a turn whenever something changed.

One ``Daemon`` is one process's life; one ``Household`` (in ``household``) is one configuration's. SIGHUP makes a new
household, and keeps the old one when the new configuration is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from prometheus_client import Gauge

from homing import __version__
from homing.app.build import web_access
from homing.app.dns.figures import DnsFigures, build_figures, secondary_figures
from homing.app.dns.local import answering
from homing.app.dns.ways import settings_setup
from homing.app.dns_metrics import DnsCollector, TransferCollector
from homing.app.household import Household
from homing.app.listening import Listening, listening
from homing.app.news import household_situation, wishes_of
from homing.app.notify import notify_service_manager
from homing.app.places import dns_addresses, parse_listen
from homing.app.secondaries import transfer_policy
from homing.app.settings import DnsSettings, Loaded
from homing.app.transfers import Transfers
from homing.app.views import SHOWN_CHANGES, build_state, change_views
from homing.app.zone_views import zone_views
from homing.app.zones import build_zones
from homing.dns.authority import Authority
from homing.dns.server import DnsServer
from homing.dns.stats import Stats
from homing.effects.clock import Clock, SystemClock
from homing.effects.log import get_logger
from homing.effects.metrics import Metrics
from homing.effects.trace import tracing
from homing.errors import ConfigError, HomingError, ListenError, ModelError, ObservationError, StoreError
from homing.messages.messenger import Messenger
from homing.model.name import Name
from homing.store import StateLock, Store
from homing.turn.memory import Memory
from homing.web.view import ChangeView, StateView

log = get_logger("daemon")

STATE = "state"
"""The store's key of the document that ``homing status`` shows."""

STOP_PATIENCE = 1.2
"""Seconds that requests under way get to end after SIGTERM; all is over within 2 s."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. ``dns`` and ``web`` override the settings; an empty tuple turns one off."""

    state: Path
    load: Callable[[], Loaded]
    dns: tuple[str, ...] | None = None
    web: tuple[str, ...] | None = None
    demo: bool = False


class Daemon:
    """Runs until it is told to stop. ``announce`` is called once everything serves."""

    def __init__(self, options: Options, *, clock: Clock | None = None, chance: random.Random | None = None) -> None:
        self._options = options
        self._clock = clock or SystemClock()
        self._chance = chance or random.SystemRandom()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()
        self._changes: tuple[ChangeView, ...] = ()
        self._server: DnsServer | None = None
        self._listening: Listening
        self.metrics = Metrics(__version__)
        self.authority = Authority()
        self.metrics.registry.register(
            DnsCollector(self._counted, self.authority, workers=self._workers, connections=self._connections)
        )
        self.metrics.refresh = self._refresh_metrics
        self._reloaded = Gauge(
            "homing_config_last_reload_successful", "Whether the configuration as it is now was taken over.",
            registry=self.metrics.registry,
        )  # fmt: skip
        self._reloaded.set(1)
        self.started = self._clock.time()
        self.web_listen: tuple[str, ...] = ()
        self.household: Household
        self._messenger: Messenger
        self.transfers: Transfers

    @property
    def state_directory(self) -> Path:
        """Where the state is kept."""
        return self._options.state

    @property
    def dns_listen(self) -> tuple[str, ...]:
        """The addresses that the DNS server listens on now."""
        return tuple(_told(*address) for address in self._server.addresses) if self._server is not None else ()

    def stop(self) -> None:
        """End soon, losing nothing."""
        self._stop.set()

    def reload(self) -> None:
        """Read the configuration again soon."""
        self._reload.set()

    async def run(self, announce: Callable[[Daemon], None] = lambda _: None) -> None:
        """Serve and observe until ``stop``. Raises HomingError when it cannot start."""
        loaded = self._options.load()
        async with contextlib.AsyncExitStack() as stack:
            # The lock tells this process's id, which others may send SIGHUP to.
            self._handle_signals(stack)
            await stack.enter_async_context(tracing())
            stack.enter_context(StateLock(self._options.state))
            store = stack.enter_context(Store(self._options.state))
            memory = Memory(store, on_error=self.metrics.store_errors.inc)
            stack.callback(memory.close)
            transfers = Transfers(self.authority, memory, store, clock=self._clock, chance=self._chance)
            self.transfers = await stack.enter_async_context(transfers)
            transfers.overtake = self._overtake
            self.metrics.registry.register(TransferCollector(transfers.following))
            wishes = wishes_of(loaded)
            self.household = await self._settle_in(loaded, memory)
            self._messenger = Messenger(
                wishes,
                lambda: household_situation(self.household),
                self.metrics,
                clock=self._clock,
                chance=self._chance,
            )
            await stack.enter_async_context(self._servers(loaded, store))
            transfers.begin()
            announce(self)
            notify_service_manager("READY=1")
            for note in loaded.notes:
                log.info(note)
            await stack.enter_async_context(self._messenger.running())
            await self._live(memory, store)
            notify_service_manager("STOPPING=1")

    async def _live(self, memory: Memory, store: Store) -> None:
        while not self._stop.is_set():
            household = self.household
            running = asyncio.create_task(household.run(lambda: self._note(memory, store)))
            waits = [asyncio.create_task(event.wait()) for event in (self._stop, self._reload)]
            try:
                await asyncio.wait([running, *waits], return_when=asyncio.FIRST_COMPLETED)
                if not self._stop.is_set():
                    # Before a reload a request may take the time it needs: one that is cut off is made twice.
                    idle = asyncio.create_task(household.wait_idle())
                    await asyncio.wait([idle, waits[0]], return_when=asyncio.FIRST_COMPLETED)
                    idle.cancel()
            finally:
                for wait in waits:
                    wait.cancel()
                await household.finish(running, STOP_PATIENCE)
            if self._reload.is_set() and not self._stop.is_set():
                self._reload.clear()
                await self._take_new_configuration(memory)
            elif not self._stop.is_set():
                running.result()  # it ends by itself only through a fault, which is told here
            await self._note(memory, store)
        await self.household.aclose()

    async def _take_new_configuration(self, memory: Memory) -> None:
        notify_service_manager("RELOADING=1")
        before = self.household
        memory.read_lockouts()
        try:
            loaded = self._options.load()
            wishes = wishes_of(loaded)
            self.household = await self._settle_in(loaded, memory)
        except (ConfigError, ModelError, StoreError) as error:
            log.error("configuration not taken over, the old one stays", reason=str(error))  # noqa: TRY400
            self.household = before
            self._reloaded.set(0)
        else:
            self._reloaded.set(1)
            self._messenger.use(wishes)
            self.household.verdicts.update(before.verdicts)
            await before.aclose()
            await self._listen_on(self._dns_addresses(loaded))
            if self._lasting(loaded) != self._lasting(before.loaded):
                log.warning(
                    "settings changed that count after a restart: where the page is, how the DNS server answers",
                    origin=loaded.origin,
                )
            log.info("configuration taken over", origin=loaded.origin, names=len(self.household.names))
        notify_service_manager("READY=1")

    async def _settle_in(self, loaded: Loaded, memory: Memory) -> Household:
        """Serve what a configuration says. Raises HomingError, and then transfers go on as before."""
        await asyncio.to_thread(build_zones, loaded)  # master files are read here, so that answering goes on
        undo = self.transfers.follow(transfer_policy(loaded))
        household = Household(
            loaded,
            memory,
            self.authority,
            self.metrics,
            clock=self._clock,
            chance=self._chance,
            listen=self._dns_addresses(loaded),
            cache=self._options.state / "cache",
            keeper=self.transfers.keeper,
            first=self.transfers.first_serials,
            beside=self.transfers.catalogs,
        )
        try:
            await household.open()
            await self.transfers.list_members(household.origins)
        except HomingError:
            undo()
            raise
        return household

    async def _overtake(self, origin: Name, serial: int) -> None:
        await self.household.overtake(origin, serial)

    def _lasting(self, loaded: Loaded) -> tuple[object, ...]:
        """What stays as it is until a restart."""
        given = loaded.settings.web
        web = (given.listen, given.legacy_listen) if self._options.web is None else ()
        dns = loaded.settings.dns or DnsSettings()
        ways = (dns.nsid, dns.version, dns.identity, dns.rate_limit, dns.cookie_secret_file)
        return (*web, given.token_file, given.token_for_metrics, dns.workers, *ways)

    async def _listen_on(self, addresses: tuple[tuple[str, int], ...]) -> None:
        """Serve DNS on these addresses from now on; when one cannot be had, all stays as it was."""
        if self._listening.pairs == frozenset(addresses):
            return
        try:
            await self._listening.change(addresses)
        except (ListenError, ObservationError) as error:
            log.error("DNS stays on its old addresses", reason=str(error))  # noqa: TRY400
        else:
            log.info("DNS listens on other addresses", addresses=self.dns_listen)

    def _dns_addresses(self, loaded: Loaded) -> tuple[tuple[str, int], ...]:
        return dns_addresses(loaded, self._options.dns)

    @contextlib.asynccontextmanager
    async def _servers(self, loaded: Loaded, store: Store) -> AsyncGenerator[None, None]:
        """The DNS server and the page; they outlive a reload, so that nothing is asked in vain meanwhile."""
        async with contextlib.AsyncExitStack() as stack:
            server = DnsServer(
                self.authority,
                primary=self.transfers.primary,
                clock=self._clock,
                workers=loaded.settings.dns.workers if loaded.settings.dns is not None else 0,
                setup=settings_setup(loaded),
            )
            stack.push_async_callback(server.aclose)
            addresses = self._dns_addresses(loaded)
            self._listening = await stack.enter_async_context(listening(server, addresses, self._clock))
            self._server = server
            await stack.enter_async_context(
                answering(self._options.state, lambda: msgspec.json.encode(self.dns_figures()))
            )
            web, where = loaded.settings.web, f"{loaded.origin}: web.listen"
            if self._options.web is not None:
                web, where = msgspec.structs.replace(web, listen=self._options.web, legacy_listen=()), "--web"
            for texts, legacy in ((web.listen, False), (web.legacy_listen, True)):
                pairs = [parse_listen(text, where, 8053) for text in texts]
                if pairs:
                    # The HTTP library loads in a thread: the DNS server answers meanwhile.
                    await asyncio.to_thread(__import__, "homing.web.server")
                    from homing.web.server import WebServer

                    page = WebServer(
                        self.view,
                        ready=self._ready,
                        live=lambda: self.household.is_live,
                        metrics=self.metrics.exposition,
                        negotiated=self.metrics.negotiated,
                        documents={"/dns": self.dns_figures},
                        access=web_access(loaded, web),
                        past=store,
                        queries=self._answered,
                        clock=self._clock,
                        legacy=legacy,
                    )
                    served = await page.start(pairs)
                    stack.push_async_callback(page.aclose)
                    self.web_listen += tuple(_told(*address) for address in served)
            yield

    def view(self) -> StateView:
        """The state as the page shows it."""
        household = self.household
        return build_state(
            household.reconcilers,
            household.names,
            household.memory,
            household.verdicts,
            household.families,
            zones=zone_views(self.authority, self.transfers.following.standings(), self.transfers.told),
            origin=household.loaded.origin,
            started=self.started,
            now=self._clock.time(),
            types=household.types,
            own=household.own or (),
            changes=self._changes,
            dns_listen=self.dns_listen,
            web_listen=self.web_listen,
            demo=self._options.demo,
        )

    def dns_figures(self) -> DnsFigures:
        """What the DNS server counted until now."""
        return build_figures(
            self._counted(),
            self.authority,
            started=self.started,
            at=self._clock.time(),
            listen=self.dns_listen,
            workers=self._workers(),
            connections=self._connections(),
            secondaries=secondary_figures(self.transfers.following.standings(), self.transfers.told, self.authority),
        )

    def _refresh_metrics(self) -> None:
        self.metrics.lives(self.household.overdue, self.household.memory.trouble)

    def _counted(self) -> Stats:
        return self._server.stats if self._server is not None else Stats()

    def _answered(self) -> int:
        return self._counted().queries.total()

    def _workers(self) -> int:
        return len(self._server.workers) if self._server is not None else 0

    def _connections(self) -> int:
        return self._server.connections if self._server is not None else 0

    async def _note(self, memory: Memory, store: Store) -> None:
        """Keep what ``homing status`` and the page show."""
        with contextlib.suppress(StoreError):
            self._changes = await asyncio.to_thread(
                lambda: change_views(
                    store.address_history(limit=SHOWN_CHANGES),
                    store.updates(limit=SHOWN_CHANGES),
                    store.events(limit=SHOWN_CHANGES),
                )
            )
        await memory.document(STATE, msgspec.json.encode(self.view()), self._clock.time())

    def _ready(self) -> str | None:
        if self.dns_listen and not self.authority.ready:
            return "no zone is loaded yet"
        return None

    def _handle_signals(self, stack: contextlib.AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        for number, react in ((signal.SIGTERM, self.stop), (signal.SIGINT, self.stop), (signal.SIGHUP, self.reload)):
            loop.add_signal_handler(number, react)
            stack.callback(loop.remove_signal_handler, number)


def _told(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
