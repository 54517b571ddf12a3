"""Events on objects, as ``kubectl describe`` shows them: told once and counted, never in anybody's way."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import random
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from homing.effects.backoff import Backoff
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import Conflict, KubeError, KubeUnavailable, NotFound, NotLeading, Unauthorized
from homing.kube.client import KubeClient
from homing.kube.objects import ObjectReference
from homing.kube.resource import EVENTS

COMPONENT = "homing-operator"
"""Who reports, unless told otherwise."""

SAME = 600.0
"""Seconds within which the same thing said again of an object is a count and no new Event."""

QUEUE = 1000
"""Events waiting to be posted; beyond, the oldest is dropped."""

REMEMBERED = 4096
"""Events and objects of which counts are kept; beyond, the one not used for longest is forgotten."""

BURST, REFILL = 25, 300.0
"""As client-go: so many events of one object at once, then one in so many seconds."""

TRIES = 4
"""Times that an event is tried to be posted, while the server cannot be asked."""

MAX_MESSAGE, MAX_REASON = 1024, 128
"""Characters that the API takes."""

ObjectRef = ObjectReference

_log = get_logger("kube")

_Same = tuple[ObjectReference, str, str, str, str]


@dataclass
class _Series:
    """One Event: its name, which names the thing said and when it began, and how often it was said."""

    name: str
    began: float
    last: float
    count: int = 1
    posted: int = 0


@dataclass
class _Bucket:
    tokens: float
    at: float


@dataclass(eq=False)
class Recorder:
    """Takes events without ever blocking, and posts them while ``run`` runs.

    ``dropped`` counts what was not posted: too many, the server not to be reached, or refused.
    """

    client: KubeClient
    clock: Clock
    chance: random.Random
    component: str = COMPONENT
    instance: str = ""
    dropped: int = field(default=0, init=False)
    _series: OrderedDict[_Same, _Series] = field(default_factory=OrderedDict[_Same, _Series], init=False)
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict[str, _Bucket], init=False)
    _queue: OrderedDict[_Same, _Series] = field(default_factory=OrderedDict[_Same, _Series], init=False)
    _more: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def event(self, ref: ObjectReference, type: str, reason: str, message: str, action: str = "") -> None:  # noqa: A002
        """Say something of an object: ``type`` is ``Normal`` or ``Warning``, ``reason`` one word in CamelCase.

        The same (object, type, reason, message) within SAME seconds of the first becomes a count on one Event.
        """
        message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
        key = (ref, type, reason[:MAX_REASON], message, action[:MAX_REASON] or reason[:MAX_REASON])
        now = self.clock.time()
        series = self._series.get(key)
        if series is None or not 0 <= now - series.began < SAME:
            series = _Series(_name(key, now), now, now)
        else:
            series.count += 1
            series.last = now
        _keep(self._series, key, series)
        if key in self._queue:
            return
        if not self._allowed(ref):
            self.dropped += 1
            return
        self._queue[key] = series
        if len(self._queue) > QUEUE:
            self._queue.popitem(last=False)
            self.dropped += 1
        self._more.set()

    async def run(self) -> None:
        """Post what is said, forever."""
        while True:
            await self._more.wait()
            while self._queue:
                key, series = self._queue.popitem(last=False)
                await self._post(key, series)
            self._more.clear()

    async def _post(self, key: _Same, series: _Series) -> None:
        backoff = Backoff(1.0, 10.0)
        for _ in range(TRIES):
            try:
                await self._send(key, series)
            except (KubeUnavailable, Unauthorized) as error:
                backoff = backoff.after_failure()
                wait = min(getattr(error, "seconds", None) or 0.0, 10.0)
                await self.clock.sleep(max(wait, backoff.seconds(self.chance)))
            except (KubeError, NotLeading) as error:
                self.dropped += 1
                _log.info("event refused", why=str(error))
                return
            else:
                return
        self.dropped += 1

    async def _send(self, key: _Same, series: _Series) -> None:
        namespace = key[0].namespace or "default"
        count, last = series.count, _when(series.last)
        if series.posted == count:
            return
        if series.posted:
            try:
                await self.client.patch(EVENTS, series.name, {"count": count, "lastTimestamp": last}, namespace)
            except NotFound:
                series.posted = 0  # the server forgets events after an hour, or somebody deleted it
            else:
                series.posted = count
                return
        try:
            await self.client.create(EVENTS, self._body(key, series, namespace), namespace)
        except Conflict:
            # An answer that was lost: it is there already.
            await self.client.patch(EVENTS, series.name, {"count": count, "lastTimestamp": last}, namespace)
        series.posted = count

    def _body(self, key: _Same, series: _Series, namespace: str) -> dict[str, Any]:
        ref, kind, reason, message, action = key
        involved = {
            "kind": ref.kind,
            "apiVersion": ref.api_version,
            "namespace": ref.namespace,
            "name": ref.name,
            "uid": ref.uid,
        }
        return {
            "metadata": {"name": series.name, "namespace": namespace},
            "involvedObject": {name: value for name, value in involved.items() if value},
            "type": kind,
            "reason": reason,
            "message": message,
            "action": action,
            "count": series.count,
            "firstTimestamp": _when(series.began),
            "lastTimestamp": _when(series.last),
            "source": {"component": self.component},
            "reportingComponent": self.component,
            "reportingInstance": self.instance or self.component,
        }

    def _allowed(self, ref: ObjectReference) -> bool:
        """Whether this object may have one more event now."""
        now = self.clock.monotonic()
        who = "/".join((ref.kind, ref.namespace, ref.name, ref.uid))
        bucket = self._buckets.get(who) or _Bucket(float(BURST), now)
        bucket.tokens = min(float(BURST), bucket.tokens + (now - bucket.at) / REFILL)
        bucket.at = now
        allowed = bucket.tokens >= 1.0
        if allowed:
            bucket.tokens -= 1.0
        _keep(self._buckets, who, bucket)
        return allowed


def _keep(table: OrderedDict[Any, Any], key: object, value: object) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > REMEMBERED:
        table.popitem(last=False)


def _name(key: _Same, began: float) -> str:
    """The Event's name: after the object, what is said, and when it began, so that posting twice makes one."""
    ref = key[0]
    digest = hashlib.sha256("\0".join((ref.kind, ref.uid, *key[1:], f"{began:.6f}")).encode()).hexdigest()[:16]
    return f"{ref.name[:230].rstrip('-.')}.{digest}"


def _when(unix: float) -> str:
    return dt.datetime.fromtimestamp(unix, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
