"""Secrets of the cluster: their metadata is watched, the values of those in use are read when they changed."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass

from homing.effects.secret import MAX_SECRET, Secret
from homing.errors import ConfigError, Forbidden, NotFound
from homing.kube.client import KubeClient
from homing.kube.objects import PartialObject
from homing.kube.resource import SECRETS
from homing.kube.watch import Mirror
from homing.operator.entry import Unready

MAX_KEPT = 10_000
"""Secrets whose values are kept at a time."""

MAX_SHOWN = 20
"""Keys of a Secret that are named where one is missing."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
"""The names that objects may have; anything else would be another path at the API server."""


@dataclass(slots=True)
class _Value:
    """A Secret as it was read: of its data only the keys that were ``asked`` for, and no more than can be used.

    ``keys`` tells what keys it has, for people. ``revision`` is that of the reading in which the data last changed.
    """

    uid: str
    version: str
    asked: frozenset[str]
    data: dict[str, bytes]
    keys: str
    digest: bytes
    revision: str


class Secrets:
    """The Secrets that providers name.

    A change of labels is no change: what counts is told by a revision, which holds nothing of the data.
    """

    def __init__(self, client: KubeClient, metadata: Mirror[PartialObject]) -> None:
        self._client = client
        self._metadata = metadata
        self._values: dict[tuple[str, str], _Value] = {}
        self._asked: dict[tuple[str, str], set[str]] = {}
        self._reading: dict[tuple[str, str], asyncio.Task[_Value]] = {}

    async def fetch(self, namespace: str, name: str, key: str) -> None:
        """Make sure that the value in hand is that of now. Raises Unready and KubeError."""
        known = self._values.get((namespace, name))
        self._asked.setdefault((namespace, name), set()).add(key)
        if known is None or not self._is_current(namespace, name, key, known):
            known = await self._shared(namespace, name, key)
        if key not in known.data:
            raise Unready(
                "SecretKeyNotFound", f"Secret {namespace}/{name} has no key {key} (it has {known.keys}); add the key"
            )
        if not self._text(namespace, name, key):
            raise Unready("SecretInvalid", f"key {key} of Secret {namespace}/{name} is empty, too long or not text")

    def secret(self, namespace: str, name: str, key: str) -> Secret:
        """The value as providers take it; it was fetched before it is used."""
        origin = f"Secret {namespace}/{name}, key {key}"

        def read() -> str:
            text = self._text(namespace, name, key)
            if not text:
                raise ConfigError(origin, "is missing or empty", "write the secret into it")
            return text

        def revision() -> str:
            known = self._values.get((namespace, name))
            return known.revision if known is not None else ""

        return Secret(origin, read, revision)

    def forget(self, namespace: str, name: str) -> None:
        """A Secret is gone."""
        self._values.pop((namespace, name), None)
        if (namespace, name) not in self._reading:
            self._asked.pop((namespace, name), None)

    def _is_current(self, namespace: str, name: str, key: str, known: _Value) -> bool:
        meta = self._metadata.get((namespace, name))
        return meta is not None and meta.metadata.resource_version == known.version and key in known.asked

    async def _shared(self, namespace: str, name: str, key: str) -> _Value:
        """Read a Secret, once for all who ask meanwhile: at a start that is every Domain there is."""
        place = (namespace, name)
        under_way = self._reading.get(place)
        if under_way is not None:
            known = await asyncio.shield(under_way)
            if self._is_current(namespace, name, key, known):
                return known  # else it changed while it was read; a reading that began since is new enough
        reading = self._reading.get(place)
        if reading is None:
            reading = self._reading[place] = asyncio.create_task(self._read(namespace, name))
            reading.add_done_callback(lambda done: self._was_read(place, done))
        return await asyncio.shield(reading)

    def _was_read(self, key: tuple[str, str], done: asyncio.Task[_Value]) -> None:
        del self._reading[key]
        if key not in self._values:
            self._asked.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waits for it has it; nobody may be left to

    async def _read(self, namespace: str, name: str) -> _Value:
        if not (_NAME.fullmatch(name) and _NAME.fullmatch(namespace)):
            raise Unready("SecretNotFound", f"{namespace[:80]!r}, {name[:80]!r} names no Secret; correct it")
        try:
            found = await self._client.get(SECRETS, name, namespace)
        except NotFound:
            self.forget(namespace, name)
            raise Unready("SecretNotFound", f"there is no Secret {namespace}/{name}; create it") from None
        except Forbidden:
            told = f"Homing may not read Secret {namespace}/{name}; give its service account a Role there"
            raise Unready("SecretForbidden", told) from None
        digest = hashlib.sha256(repr(sorted(found.data.items())).encode()).digest()
        before, meta = self._values.get((namespace, name)), found.metadata
        same = before is not None and (before.uid, before.digest) == (meta.uid, digest)
        revision = before.revision if before is not None and same else f"{meta.uid}/{meta.resource_version}"
        asked = self._asked.get((namespace, name), set())
        self._asked[namespace, name] = asked & found.data.keys()
        value = _Value(
            meta.uid,
            meta.resource_version,
            frozenset(asked),
            {item: found.data[item][: MAX_SECRET + 1] for item in asked & found.data.keys()},
            (", ".join(sorted(found.data)[:MAX_SHOWN]) or "none")[:200],
            digest,
            revision,
        )
        if len(self._values) >= MAX_KEPT:
            self._values.clear()
        self._values[namespace, name] = value
        return value

    def _text(self, namespace: str, name: str, key: str) -> str:
        """The value as text; empty when it is none."""
        known = self._values.get((namespace, name))
        data = known.data.get(key, b"") if known is not None else b""
        try:
            return data.decode().strip() if len(data) <= MAX_SECRET else ""
        except UnicodeDecodeError:
            return ""
