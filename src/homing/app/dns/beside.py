"""Zones of several kinds beside files, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from homing.app.dns.serve import Beside
from homing.app.transfers import Transfers
from homing.dns.authority import Authority
from homing.model.name import Name
from homing.store import Store


class Joined:
    """Each has its own zones; of two with one zone the first has it."""

    def __init__(self, parts: Sequence[Beside]) -> None:
        self._parts = parts

    @property
    def origins(self) -> Collection[Name]:
        """Those of all."""
        return {origin for part in self._parts for origin in part.origins}

    async def open(self, authority: Authority, store: Store, transfers: Transfers, files: Collection[Name]) -> None:
        """Serve what was served last."""
        taken = set(files)
        for part in self._parts:
            await part.open(authority, store, transfers, taken)
            taken |= {origin for origin in part.origins if not origin.is_root}

    async def run(self) -> None:
        """Follow all, until one ends."""
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(part.run())

    async def overtake(self, origin: Name, serial: int) -> None:
        """Give a zone a serial above one that a secondary has."""
        part = next((part for part in self._parts if origin in part.origins), None)
        if part is not None:
            await part.overtake(origin, serial)

    def problem(self) -> str | None:
        """Why not everything can be served yet."""
        return next((told for part in self._parts if (told := part.problem())), None)

    def stuck(self) -> str | None:
        """Why the process should be started anew."""
        return next((told for part in self._parts if (told := part.stuck())), None)

    def is_live(self) -> bool:
        """Whether all were looked at of late."""
        return all(part.is_live() for part in self._parts)

    @property
    def collector(self) -> Collector:
        """What is counted of all."""
        return _Together([part.collector for part in self._parts])


class _Together(Collector):
    """Metrics of several that count alike, each family once; of two samples alike the first is shown."""

    def __init__(self, parts: Sequence[Collector]) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        found: dict[str, Metric] = {}
        for part in self._parts:
            for metric in part.collect():
                known = found.setdefault(metric.name, metric)
                if known is not metric:
                    there = {(item.name, tuple(sorted(item.labels.items()))) for item in known.samples}
                    known.samples += [
                        item for item in metric.samples if (item.name, tuple(sorted(item.labels.items()))) not in there
                    ]
        yield from found.values()
