"""What the parts that work in a cluster share: who they are to the API server, and that they outlast their faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from homing.app.cluster.settings import ClusterSettings
from homing.effects.clock import Clock
from homing.effects.log import get_logger, tell_fault
from homing.effects.metrics import Metrics
from homing.kube.credentials import Credentials, find_credentials
from homing.store import Event, Store
from homing.turn.memory import Memory

log = get_logger("cluster")

FAULT_PAUSE = 30.0
"""Seconds before a part is begun again after a fault of our own."""


async def credentials_of(settings: ClusterSettings) -> Credentials:
    """Who we are to the API server, with the namespace of the settings. Raises ConfigError."""
    credentials = await asyncio.to_thread(find_credentials, settings.kubeconfig, settings.context)
    if settings.namespace:
        credentials.namespace = settings.namespace
    return credentials


async def lasting(
    work: Callable[[], Awaitable[None]], part: str, metrics: Metrics, clock: Clock, *ends: type[Exception]
) -> None:
    """Do it until cancelled, and again some time after it ended or a fault of our own; ``ends`` are raised."""
    while True:
        try:
            await work()
        except ends:
            raise
        except Exception as fault:  # noqa: BLE001 - told below
            # Answering goes on whatever happens here; told by kind and place, see docs/design/005.
            metrics.faults.labels("cluster").inc()
            tell_fault(log, part, fault)
        await clock.sleep(FAULT_PAUSE)


def history_of(store: Store | None, metrics: Metrics, tell: Callable[[Event], None]) -> Memory:
    """Memory that keeps the history, where there is a store; what is published is known from the cluster."""
    memory = Memory(store, on_error=metrics.store_errors.inc, tell=tell)
    memory.published.clear()
    memory.requests.clear()
    memory.lockouts.clear()
    return memory
