"""Secrets of the cluster: their metadata is watched, the values of those in use are read when they changed."""

from __future__ import annotations

import asyncio
import hashlib
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


@dataclass(slots=True)
class _Value:
    """A Secret as it was read. ``revision`` is that of the reading in which the data last changed."""

    uid: str
    version: str
    data: dict[str, bytes]
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
        self._reading: dict[tuple[str, str], asyncio.Task[_Value]] = {}

    async def fetch(self, namespace: str, name: str, key: str) -> None:
        """Make sure that the value in hand is that of now. Raises Unready and KubeError."""
        known = self._values.get((namespace, name))
        if known is None or not self._is_current(namespace, name, known):
            known = await self._shared(namespace, name)
        if key not in known.data:
            keys = ", ".join(sorted(known.data)) or "none"
            raise Unready(
                "SecretKeyNotFound", f"Secret {namespace}/{name} has no key {key} (it has {keys[:200]}); add the key"
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

    def _is_current(self, namespace: str, name: str, known: _Value) -> bool:
        meta = self._metadata.get((namespace, name))
        return meta is not None and meta.metadata.resource_version == known.version

    async def _shared(self, namespace: str, name: str) -> _Value:
        """Read a Secret, once for all who ask meanwhile: at a start that is every Domain there is."""
        key = (namespace, name)
        under_way = self._reading.get(key)
        if under_way is not None:
            known = await asyncio.shield(under_way)
            if self._is_current(namespace, name, known):
                return known  # else it changed while it was read; a reading that began since is new enough
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._read(namespace, name))
            reading.add_done_callback(lambda done: self._was_read(key, done))
        return await asyncio.shield(reading)

    def _was_read(self, key: tuple[str, str], done: asyncio.Task[_Value]) -> None:
        del self._reading[key]
        if not done.cancelled():
            done.exception()  # whoever waits for it has it; nobody may be left to

    async def _read(self, namespace: str, name: str) -> _Value:
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
        value = _Value(meta.uid, meta.resource_version, found.data, digest, revision)
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
