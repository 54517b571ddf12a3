"""ESDDNS's ConfigMap goes on working (SPEC B6, B12): it becomes a Provider and a Domain, which everybody can see.

Both belong to the ConfigMap: they change with it, and go with it, while the record stays. Its way of detecting is that
of a Site ``default`` which the operator creates.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import ConfigError, Conflict, Invalid, KubeError
from homing.kube.client import KubeClient
from homing.kube.kinds import DOMAINS, PROVIDERS
from homing.kube.objects import ConfigMap, Key
from homing.kube.recorder import Recorder
from homing.kube.resource import CONFIG_MAPS, Resource
from homing.kube.watch import Mirror
from homing.operator.own import reference
from homing.operator.site_views import DEFAULT

log = get_logger("esddns")

CONFIG, SECRET = "esddns-config", "esddns-gandi-credentials"
"""The ConfigMap and the Secret, as ESDDNS's users have them."""

SECRET_KEY = "api-key"  # noqa: S105 - where it is, not what it is

NAME = "esddns"
"""The Provider and the Domain that are made."""

AGAIN = 5.0
"""Seconds after which what the API server did not take is tried again."""

LOOK = 300.0
"""Seconds between two looks at whether both are still as they should be."""


@dataclass(frozen=True, slots=True)
class EsddnsConfig:
    """What the ConfigMap asks for. Times in seconds; ``server`` is empty for Gandi's own URL.

    ``detect`` are fields of a Site's ``spec.detect``.
    """

    fqdn: str
    domain: str
    ttl: int
    interval: int
    server: str = ""
    authentication: str = "Apikey"
    detect: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def provider(self) -> dict[str, Any]:
        """The spec of a Provider for it."""
        gandi = {"authentication": self.authentication, "domain": self.domain}
        if self.server:
            gandi["server"] = self.server
        return {"gandi": gandi, "secretRef": {"name": SECRET, "key": SECRET_KEY}}

    def domain_at(self, provider: str) -> dict[str, Any]:
        """The spec of a Domain that is published by the Provider of this name."""
        return {
            "fqdn": self.fqdn,
            "addresses": {"wan": {"site": DEFAULT, "families": ["IPv4"]}},
            "providerRef": {"name": provider},
            "ttlSeconds": self.ttl,
            "intervalSeconds": self.interval,
        }


ReadConfig = Callable[[Mapping[str, str]], EsddnsConfig]
"""Reads the data of the ConfigMap. Raises ConfigError."""


class Esddns:
    """Follows the ConfigMap in the operator's own namespace while leading."""

    def __init__(
        self,
        client: KubeClient,
        read: ReadConfig,
        *,
        recorder: Recorder,
        clock: Clock,
        chance: random.Random,
        read_anew: Callable[[], None],
    ) -> None:
        """``read_anew`` is told that ``detect`` may have changed."""
        self._client = client
        self._read = read
        self._recorder = recorder
        self._clock = clock
        self._read_anew = read_anew
        self._news = asyncio.Event()
        self._config: EsddnsConfig | None = None
        self._told: EsddnsConfig | None = None
        self._seen = Mirror(
            client,
            CONFIG_MAPS,
            clock=clock,
            chance=chance,
            namespaces=(client.namespace,),
            field_selector=f"metadata.name={CONFIG}",
            on_change=self._changed,
        )

    @property
    def detect(self) -> Mapping[str, Any] | None:
        """How Site ``default`` is to detect; None while it is not known yet whether there is a ConfigMap."""
        if not self._seen.synced.is_set():
            return None
        return self._config.detect if self._config is not None else {}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._seen.run())
            group.create_task(self._look())
            await self._seen.synced.wait()
            self._read_anew()
            while True:
                await self._news.wait()
                self._news.clear()
                found = self._seen.get((self._client.namespace, CONFIG))
                if found is None or self._config is None or found.metadata.deletion_timestamp:
                    continue
                try:
                    await self._keep(found, self._config)
                except KubeError as error:
                    log.warning("trying again", config_map=CONFIG, reason=str(error))
                    await self._clock.sleep(AGAIN)
                    self._news.set()

    def _changed(self, _: Key, old: ConfigMap | None, new: ConfigMap | None) -> None:
        if new is None:
            self._config = self._told = None
            log.info("the ConfigMap is gone, and its Domain with it; the record stays", config_map=CONFIG)
            return
        if old is not None and old.data == new.data:
            return
        try:
            self._config = self._read(new.data)
        except ConfigError as error:
            self._tell(new, "Warning", "InvalidConfig", f"{error}; what was read before stays")
            return
        self._news.set()
        self._read_anew()

    async def _keep(self, owner: ConfigMap, config: EsddnsConfig) -> None:
        kept = await self._apply(owner, PROVIDERS, config.provider)
        if await self._apply(owner, DOMAINS, config.domain_at(NAME)) and kept and config != self._told:
            self._told = config
            self._tell(owner, "Normal", "Applied", f"Domain {NAME} publishes {config.fqdn} through Provider {NAME}")

    async def _apply(self, owner: ConfigMap, resource: Resource[Any], spec: Mapping[str, Any]) -> bool:
        """Apply one of the two without force: what somebody else set stays, and that is said."""
        mine = {"apiVersion": CONFIG_MAPS.api_version, "kind": CONFIG_MAPS.kind, "name": CONFIG}
        metadata = {"name": NAME, "ownerReferences": [{**mine, "uid": owner.metadata.uid}]}
        try:
            body = {"metadata": metadata, "spec": spec}
            await self._client.apply(resource, NAME, body, self._client.namespace, force=False)
        except Conflict as error:
            told = f"{resource.kind} {NAME} stays as somebody else wrote it: {error}; delete it to have it made anew"
            self._tell(owner, "Warning", "Conflict", told)
        except Invalid as error:
            self._tell(owner, "Warning", "InvalidConfig", f"{resource.kind} {NAME} stays as it is: {error}")
        else:
            return True
        return False

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(LOOK)
            self._news.set()

    def _tell(self, owner: ConfigMap, kind: str, reason: str, message: str) -> None:
        (log.warning if kind == "Warning" else log.info)(message, config_map=CONFIG)
        ref = reference(CONFIG_MAPS.kind, CONFIG_MAPS.api_version, owner.metadata)
        self._recorder.event(ref, kind, reason, message, "Reconcile")
