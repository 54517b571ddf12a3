"""The Secrets that hold TSIG keys: each is watched by its name, so that no right to any other is needed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable

from homing.dns.transfers.tsig import Key as TransferKey
from homing.dns.transfers.tsig import tsig_key
from homing.effects.clock import Clock
from homing.effects.secret import MAX_SECRET
from homing.errors import ModelError
from homing.kube.client import KubeClient
from homing.kube.kinds.zone import TsigKey
from homing.kube.objects import Key, Secret
from homing.kube.resource import SECRETS
from homing.kube.watch import Mirror
from homing.operator.entry import Unready

MAX_SECRETS = 32
"""Secrets that are watched at a time, each by a request that stays open."""

FIRST_LOOK = 2.0
"""Seconds that a zone waits for its Secrets before it is served without them."""


class KeySecrets:
    """Follows the Secrets that are wanted; ``changed`` is told each that came, changed or went."""

    def __init__(
        self, client: KubeClient, *, clock: Clock, chance: random.Random, changed: Callable[[Key], None]
    ) -> None:
        self._client = client
        self._clock = clock
        self._chance = chance
        self._changed = changed
        self._mirrors: dict[Key, Mirror[Secret]] = {}
        self._following: dict[Key, asyncio.Task[None]] = {}
        self._late: set[Key] = set()

    def want(self, secrets: Iterable[Key]) -> None:
        """Follow these, and no others any more. Those beyond the limit are not followed."""
        wanted = set(secrets)
        for key in self._following.keys() - wanted:
            self._following.pop(key).cancel()
            del self._mirrors[key]
            self._late.discard(key)
        for key in sorted(wanted - self._following.keys()):
            if len(self._following) >= MAX_SECRETS:
                break
            mirror = self._mirrors[key] = Mirror(
                self._client,
                SECRETS,
                clock=self._clock,
                chance=self._chance,
                namespaces=(key[0],),
                field_selector=f"metadata.name={key[1]}",
                on_change=lambda key, _old, _new: self._changed(key),
            )
            self._following[key] = asyncio.ensure_future(self._follow(key, mirror))

    async def seen(self, secrets: Iterable[Key]) -> None:
        """Wait until these were looked at, a little while at the most, and once for each."""
        for key in secrets:
            mirror = self._mirrors.get(key)
            if mirror is not None and key not in self._late:
                with contextlib.suppress(TimeoutError):  # not wait_for, which may lose a cancellation in Python 3.11
                    async with asyncio.timeout(FIRST_LOOK):
                        await mirror.synced.wait()
                self._late.add(key)

    def text(self, secret: Key, item: str) -> str:
        """What is in a Secret. Raises Unready."""
        mirror, told = self._mirrors.get(secret), f"Secret {secret[0]}/{secret[1]}"
        if mirror is None:
            raise Unready(
                "TooManySecrets", f"{told} is not read: {MAX_SECRETS} with TSIG keys are; put several keys into one"
            )
        if not mirror.synced.is_set():
            remedy = "let the DNS server list and watch it: dns.tsigSecrets of the chart, or see deploy/rbac/dns.yaml"
            raise Unready("SecretUnread", f"{told} cannot be read yet; {remedy}")
        found = mirror.get(secret)
        if found is None:
            raise Unready("SecretNotFound", f"there is no {told}; create it")
        if item not in found.data:
            keys = ", ".join(sorted(found.data)) or "none"
            raise Unready("SecretKeyNotFound", f"{told} has no key {item} (it has {keys[:200]}); add the key")
        data = found.data[item]
        try:
            return data.decode() if len(data) <= MAX_SECRET else ""
        except UnicodeDecodeError:
            return ""

    def key(self, item: TsigKey, place: tuple[str, str, str]) -> TransferKey:
        """The key that a Zone names, in this Secret and item of it. Raises Unready."""
        text = self.text(place[:2], place[2])
        try:
            return tsig_key(item.name, item.algorithm, text)
        except ModelError as error:
            raise Unready("SecretInvalid", f"Secret {place[0]}/{place[1]}, key {place[2]}: {error}") from None

    async def aclose(self) -> None:
        """Follow none any more."""
        tasks = list(self._following.values())
        self.want(())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, key: Key, mirror: Mirror[Secret]) -> None:
        """A Secret that is not there makes no change, yet that is known then."""
        running = asyncio.ensure_future(mirror.run())
        try:
            await mirror.synced.wait()
            self._changed(key)
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
