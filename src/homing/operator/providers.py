"""Providers of the cluster: from their objects to parts that publish, and back to their status."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from homing.effects.clock import Clock
from homing.effects.http import HttpClient
from homing.errors import ConfigError, ModelError
from homing.kube.kinds.common import SecretKey
from homing.kube.kinds.provider import ClusterProvider, ClusterProviderSpec, Provider, ProviderSpec, Strato
from homing.kube.watch import Mirror
from homing.model.name import Name, parse_name
from homing.operator.entry import Entry, ProviderId, Unready
from homing.operator.gate import Cost, Gate
from homing.operator.secrets import Secrets
from homing.providers.base import Provider as Publisher
from homing.providers.dyndns2 import Dyndns2
from homing.providers.gandi import Gandi
from homing.providers.https import authority, endpoint
from homing.providers.presets import GENERIC, PRESETS
from homing.providers.rate import Rate
from homing.providers.rfc2136 import Rfc2136
from homing.providers.signed_dns import host_port
from homing.providers.zone import ZoneProvider

COOLDOWN = 60.0
"""Seconds between two requests for one host at a dyndns2 service; they ban hosts that ask more often."""

BURST = 5
"""Requests at once within a rate that the user set, at most."""

STRATO = "Strato"
"""The kind of provider that a Strato Domain brings along: the account of its own Secret."""

_KEYS = {"strato": "password", "dyndns2": "password", "gandi": "api-key", "rfc2136": "key"}
"""The key of the Secret where the reference names none, by type."""


@dataclass(frozen=True, slots=True)
class Found:
    """A provider's object: its spec, and what tells one state of it from the next."""

    id: ProviderId
    spec: ProviderSpec | ClusterProviderSpec
    version: tuple[str, int]

    @property
    def type(self) -> str:
        """The one type that is given; the API server makes sure of that."""
        return next((name for name in (*_KEYS, "zone") if getattr(self.spec, name, None) is not None), "")

    @property
    def secret(self) -> tuple[str, str, str] | None:
        """Namespace, name and key of its Secret."""
        reference = self.spec.secret_ref
        if reference is None:
            return None
        namespace = self.id.namespace if isinstance(reference, SecretKey) else reference.namespace
        return namespace, reference.name, reference.key or _KEYS.get(self.type, "")

    @property
    def realm(self) -> str:
        """The service it publishes at: two accounts of one service would write the same records."""
        spec = self.spec
        try:
            if spec.dyndns2 is not None or spec.strato is not None:
                given = (spec.dyndns2 or spec.strato or Strato()).server
                preset = PRESETS["strato"] if spec.dyndns2 is None else PRESETS.get(spec.dyndns2.preset or "", GENERIC)
                return f"dyndns2 {authority(endpoint(given or '', preset.url, 'server'))}"
            if spec.rfc2136 is not None:
                host, port = host_port(spec.rfc2136.server.lower(), "server")
                return f"rfc2136 {host.rstrip('.')} {port}"
        except (ConfigError, ValueError):
            return f"nowhere {self.id}"  # such a provider cannot be used at all
        return self.type


class Providers:
    """Makes each provider once, and anew when its object changed. ``zones`` publishes in the own zones, if any."""

    def __init__(
        self,
        own: Mirror[Provider],
        cluster: Mirror[ClusterProvider],
        secrets: Secrets,
        *,
        clock: Clock,
        chance: random.Random,
        fence: Callable[[], None],
        strato_server: str = "",
        strato_cooldown: float = COOLDOWN,
        gandi_server: str = "",
        zones: ZoneProvider | None = None,
    ) -> None:
        self._own = own
        self._cluster = cluster
        self._secrets = secrets
        self._clock = clock
        self._chance = chance
        self._fence = fence
        self._strato_server = strato_server
        self._strato_cooldown = strato_cooldown
        self._gandi_server = gandi_server
        self._zones = zones
        self._made: dict[ProviderId, tuple[tuple[str, int], Publisher, tuple[str, str] | None]] = {}
        self._https: dict[str, HttpClient] = {}
        self._gandi = Rate(900, 60, clock)
        self._strato = Rate(120, 30, clock)

    def find(self, entry: Entry) -> Found | None:
        """The object of a Domain's provider; None while there is none."""
        return self.object(entry.provider)

    def object(self, which: ProviderId) -> Found | None:
        """The object of a provider; None while there is none."""
        if which.kind == STRATO:
            strato = Strato(server=self._strato_server or None)
            return Found(which, ProviderSpec(strato=strato, secret_ref=SecretKey(name=which.name)), ("", 0))
        key = (which.namespace, which.name)
        found = self._own.get(key) if which.kind == "Provider" else self._cluster.get(key)
        if found is None:
            return None
        return Found(which, found.spec, (found.metadata.uid, found.metadata.generation))

    def allowed(self, found: Found, entry: Entry, name: Name | None = None) -> None:
        """Raises Unready unless the provider may publish the Domain's name, or ``name``, for its namespace."""
        spec, where, name = found.spec, found.id, name or entry.name
        if isinstance(spec, ClusterProviderSpec) and not {entry.which.namespace, "*"} & set(spec.allowed_namespaces):
            raise Unready(
                "NotAllowed",
                f"{where} does not allow namespace {entry.which.namespace}; add it to its allowedNamespaces",
            )
        domains = spec.allowed_domains
        if domains is not None and not any(_within(name, domain) for domain in domains):
            raise Unready("NotAllowed", f"{where} does not allow {name.text}; add its domain to its allowedDomains")

    async def use(self, found: Found) -> Publisher:
        """The part that publishes there, with its credentials in hand. Raises Unready and KubeError."""
        if found.secret is not None:
            await self._secrets.fetch(*found.secret)
        made = self._made.get(found.id)
        if made is None or made[0] != found.version:
            if made is not None:
                await made[1].aclose()
            try:
                publisher = self._make(found)
            except (ConfigError, ModelError) as error:
                error = error if isinstance(error, ConfigError) else ConfigError("spec", str(error))
                raise Unready(
                    "ProviderInvalid", f"{found.id}: {error.where.rpartition('.')[2]} {error.problem}"
                ) from None
            before = made[2] if made is not None else None
            secret = found.secret[:2] if found.secret is not None else None
            made = self._made[found.id] = (found.version, publisher, secret)
            self._forget_secret(before)
            await self._close_unused()
        return made[1]

    def forget(self, which: ProviderId) -> None:
        """A provider is gone, and the value of its Secret with it where no other uses that."""
        made = self._made.pop(which, None)
        if made is not None:
            self._forget_secret(made[2])

    def _forget_secret(self, secret: tuple[str, str] | None) -> None:
        if secret is not None and all(other[2] != secret for other in self._made.values()):
            self._secrets.forget(*secret)

    async def _close_unused(self) -> None:
        """Close the clients that no provider has any more: each keeps its authorities in memory."""
        used = {found.spec.ca_bundle or "" for found in map(self.object, self._made) if found is not None}
        for client in [self._https.pop(bundle) for bundle in self._https.keys() - used]:
            await client.aclose()

    async def aclose(self) -> None:
        """Let go of all connections."""
        for _, publisher, _ in self._made.values():
            await publisher.aclose()
        for client in self._https.values():
            await client.aclose()

    def _make(self, found: Found) -> Publisher:
        spec, key = found.spec, found.id.key
        if found.type == "zone":
            if self._zones is None:
                raise Unready("ZoneServed", "its names are published by `homing dns`")
            return self._zones.named(key)
        if sum(getattr(spec, one) is not None for one in _KEYS) != 1:
            raise ConfigError("spec", f"names not exactly one of {', '.join(_KEYS)}")
        if found.secret is None:
            raise Unready("SecretNotFound", f"{found.id} names no Secret; add spec.secretRef")
        if spec.ca_bundle:
            _check_certificates(spec.ca_bundle)
        secret, timeout = self._secrets.secret(*found.secret), float(spec.timeout_seconds)
        publisher: Publisher
        cost: Cost = lambda _name, _change: 1  # noqa: E731 - one of two
        if spec.rfc2136 is not None:
            publisher = Rfc2136(
                key,
                server=spec.rfc2136.server,
                zone=_name(spec.rfc2136.zone) if spec.rfc2136.zone else None,
                key_name=spec.rfc2136.tsig_key_name,
                algorithm=spec.rfc2136.tsig_algorithm,
                key=secret,
                timeout=timeout,
                public=spec.rfc2136.public,
                fence=self._fence,
            )
        elif spec.gandi is not None:
            gandi = publisher = Gandi(
                key,
                http=self._http(spec.ca_bundle),
                token=secret,
                scheme="Apikey" if spec.gandi.authentication == "Apikey" else "Bearer",
                domain=_name(spec.gandi.domain) if spec.gandi.domain else None,
                server=spec.gandi.server or self._gandi_server,
                timeout=timeout,
                rate=self._gandi,
            )
            cost = gandi.requests
        else:
            service = spec.dyndns2 or spec.strato or Strato()
            preset = PRESETS["strato"] if spec.dyndns2 is None else PRESETS.get(spec.dyndns2.preset or "", GENERIC)
            publisher = Dyndns2(
                key,
                preset,
                http=self._http(spec.ca_bundle),
                password=secret,
                user=service.user or "",
                server=service.server or "",
                cooldown=self._strato_cooldown if found.id.kind == STRATO else COOLDOWN,
                timeout=timeout,
            )
        rate = self._strato if spec.strato is not None else None
        if spec.rate_limit is not None:
            limit = spec.rate_limit.requests_per_minute
            burst = max(1, min(BURST, limit // 6))
            rate = Rate(max(1, limit - burst), burst, self._clock)
        return Gate(publisher, self._fence, rate, cost)

    def _http(self, ca_bundle: str | None) -> HttpClient:
        bundle = ca_bundle or ""
        if bundle not in self._https:
            self._https[bundle] = HttpClient(ca_pem=bundle, fence=self._fence)
        return self._https[bundle]


def _check_certificates(bundle: str) -> None:
    """Raises ConfigError for what holds no certificate that can be read: TLS would only fail without saying why."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=bundle)
    except (ssl.SSLError, ValueError, TypeError):  # TypeError: text that is not ASCII
        raise ConfigError("caBundle", "holds something that is no certificate in PEM") from None


def _name(text: str) -> Name:
    try:
        return parse_name(text)
    except ModelError as error:
        raise ConfigError(text, str(error)) from None


def _within(name: Name, domain: str) -> bool:
    try:
        return name.is_within(parse_name(domain))
    except ModelError:
        return False
