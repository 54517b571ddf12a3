"""``homing operator`` and ``homing agent`` as processes: started, watched over, told to end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from homing import __version__
from homing.app.cluster.common import credentials_of, history_of
from homing.app.cluster.detect import Detectors
from homing.app.cluster.esddns import read_config_map
from homing.app.cluster.metrics import AgentCollector, ClusterMetrics, CredentialCollector, OperatorCollector
from homing.app.cluster.page import ClusterPage
from homing.app.cluster.settings import ClusterSettings
from homing.app.news import cluster_wishes, operator_situation
from homing.app.places import parse_listen
from homing.effects.clock import Clock, SystemClock
from homing.effects.http import HttpClient
from homing.effects.log import configure, get_logger
from homing.effects.metrics import Metrics
from homing.effects.trace import tracing
from homing.errors import HomingError, ListenError
from homing.kube.client import KubeClient
from homing.messages.messenger import Messenger
from homing.operator.agent import LEASE_DURATION as AGENT_LEASE_DURATION
from homing.operator.agent import Agent
from homing.operator.runtime import LEASE_DURATION, Operator, Options
from homing.store import Store
from homing.web.access import Access
from homing.web.server import WebServer

log = get_logger("process")

CONFIG_LOOK = 2.0
"""Seconds between two looks at whether the mounted file changed; a ConfigMap's new files appear by a changed link."""

WEB = "127.0.0.1:8053"
"""Where the page is if nobody says otherwise: `kubectl port-forward` reaches it, other machines do not."""

STALLED = 60.0
"""Seconds without a look at the queue after which the loop counts as stuck."""

Load = Callable[[], ClusterSettings]


async def run_operator(load: Load, file: Path | None) -> None:
    """The operator until SIGTERM. Raises HomingError when it cannot start."""
    await _until_told(_operator, load, file)


async def run_agent(load: Load, file: Path | None) -> None:
    """The agent until SIGTERM. Raises HomingError when it cannot start."""
    await _until_told(_agent, load, file)


async def _operator(settings: ClusterSettings) -> None:
    clock, chance, metrics = SystemClock(), random.SystemRandom(), Metrics(__version__)
    counted = ClusterMetrics(metrics)
    credentials = await credentials_of(settings)
    metrics.registry.register(CredentialCollector(credentials))
    async with contextlib.AsyncExitStack() as stack:
        store = stack.enter_context(Store(Path(settings.state) if settings.state else None))
        page = ClusterPage(
            store, identity=settings.name, clock=clock, chance=chance, metrics=metrics, advertise=settings.advertise
        )
        http = await stack.enter_async_context(_http(settings))
        operator = Operator(
            lambda fence: KubeClient(credentials, clock=clock, fence=fence, observe=counted.asked),
            Detectors(http, clock=clock, chance=chance).make,
            Options(
                identity=settings.name,
                namespaces=settings.watch_namespaces,
                config_map=settings.wan_config_map,
                areas=settings.areas_annotation,
                ips=settings.ips_annotation,
                strato_server=settings.strato_server,
                esddns=read_config_map,
                lease_duration=settings.lease_duration or LEASE_DURATION,
                strato_cooldown=settings.strato_cooldown,
                gandi_server=settings.gandi_server,
                interval=settings.detect_interval,
            ),
            memory=lambda tell: history_of(store, metrics, tell),
            clock=clock,
            chance=chance,
            metrics=metrics,
            turned=counted.turned,
            beside=page.follow,
        )
        page.operator = operator
        metrics.registry.register(OperatorCollector(lambda: operator, metrics))

        def ready() -> str | None:
            election = operator.election
            if election is None or not election.leader:
                return "no leader is known yet"
            return "reading the cluster" if operator.term is not None and not operator.term.synced else None

        messenger = Messenger(
            cluster_wishes(settings),
            lambda: operator_situation(operator, clock.time()),
            metrics,
            clock=clock,
            chance=chance,
        )
        await stack.enter_async_context(messenger.running())
        async with (
            _probes(settings, metrics, ready, lambda: stalled(operator, clock)),
            _web(settings, metrics, page, store, ready),
        ):
            await operator.run()


def stalled(operator: Operator, clock: Clock) -> str | None:
    """Why an operator should be started anew: it leads, and its queue is not looked at any more; None when it is."""
    term = operator.term
    stuck = term is not None and term.synced and clock.monotonic() - term.turns.ticked > STALLED
    return f"the queue has not moved for over {STALLED:g} s" if stuck else None


async def _agent(settings: ClusterSettings) -> None:
    clock, chance, metrics = SystemClock(), random.SystemRandom(), Metrics(__version__)
    counted = ClusterMetrics(metrics, turns=False)
    credentials = await credentials_of(settings)
    metrics.registry.register(CredentialCollector(credentials))
    async with _http(settings) as http, KubeClient(credentials, clock=clock, observe=counted.asked) as client:
        agent = Agent(
            client,
            Detectors(http, clock=clock, chance=chance).make,
            node=settings.node_name or socket.gethostname(),
            identity=settings.name,
            clock=clock,
            chance=chance,
            lease_duration=settings.lease_duration or AGENT_LEASE_DURATION,
            heard=metrics.heard,
        )
        metrics.registry.register(AgentCollector(lambda: agent, metrics))
        async with _probes(settings, metrics, lambda: None if agent.ready else "no Site has this node", lambda: None):
            metrics.esddns_health.set(1)
            await agent.run()


def _http(settings: ClusterSettings) -> HttpClient:
    return HttpClient(ca_file=Path(settings.ca_file) if settings.ca_file else None)


@contextlib.asynccontextmanager
async def _probes(
    settings: ClusterSettings, metrics: Metrics, ready: Callable[[], str | None], live: Callable[[], str | None]
) -> AsyncGenerator[None, None]:
    """``/livez``, ``/readyz`` and ``/metrics``."""
    server = WebServer(None, ready=ready, healthy=live, metrics=metrics.exposition, negotiated=metrics.negotiated)
    try:
        if settings.listen not in ("", "off"):
            for host, port in await server.start([parse_listen(settings.listen, "--listen", 8080)]):
                log.info("probes and metrics", listen=f"{host}:{port}")
        yield
    finally:
        await server.aclose()


@contextlib.asynccontextmanager
async def _web(
    settings: ClusterSettings, metrics: Metrics, page: ClusterPage, store: Store, ready: Callable[[], str | None]
) -> AsyncGenerator[None, None]:
    """The page and the API. That the default address is taken ends nothing; one that was asked for must be free."""
    access = Access(Path(settings.web_token_file), "--web-token-file") if settings.web_token_file else None
    server = WebServer(page.view, ready=ready, metrics=metrics.exposition, past=store, access=access)
    try:
        if settings.web != "off":
            try:
                listen = await server.start([parse_listen(settings.web or WEB, "--web", 8053)])
            except ListenError as error:
                if settings.web:
                    raise
                log.warning("no page", reason=str(error))
            else:
                page.listen = tuple(listen)
                for host, port in listen:
                    log.info("page", listen=f"{host}:{port}")
        yield
    finally:
        await server.aclose()


async def _until_told(run: Callable[[ClusterSettings], Awaitable[None]], load: Load, file: Path | None) -> None:
    """Run; again with the new settings when the file changed and is right."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settings = load()
    async with tracing():
        await _until_stopped(run, load, file, settings, stop)


async def _until_stopped(
    run: Callable[[ClusterSettings], Awaitable[None]],
    load: Load,
    file: Path | None,
    settings: ClusterSettings,
    stop: asyncio.Event,
) -> None:
    while not stop.is_set():
        configure(settings.log_level, json=settings.log_format == "json")
        running = asyncio.ensure_future(run(settings))
        changed = asyncio.create_task(_changed(load, settings, file))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([running, changed, stopped], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
                return
            if changed.done():
                settings = changed.result()
                log.info("settings changed, starting anew")
        finally:
            for task in (running, changed, stopped):
                task.cancel()
            await asyncio.gather(running, changed, stopped, return_exceptions=True)


async def _changed(load: Load, before: ClusterSettings, file: Path | None) -> ClusterSettings:
    """Wait until the file says something else that is right."""
    told = ""
    while True:
        await asyncio.sleep(CONFIG_LOOK if file is not None else 3600.0)
        try:
            now = await asyncio.to_thread(load)
        except HomingError as error:
            if str(error) != told:
                told = str(error)
                log.error("settings stay as they were", reason=told)  # noqa: TRY400 - the reason says it all
            continue
        if now != before:
            return now
