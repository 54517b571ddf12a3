"""How the replicas of ``homing dns`` keep together: where the leader is found, their key, who feeds and who follows."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import urlsplit

from homing.app.cluster.replica import Replica
from homing.app.cluster.transfer_key import TransferKey
from homing.app.places import parse_listen
from homing.app.transfers import Transfers
from homing.dns.authority import Authority
from homing.dns.transfers.feed import Feed
from homing.dns.transfers.policy import TransferPolicy, ZonePolicy
from homing.dns.transfers.transfer import Rule
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import ConfigError, ListenError
from homing.kube.client import KubeClient
from homing.kube.lease import Election
from homing.model.name import Name
from homing.operator.zone_follow import Take, ZoneFollow

log = get_logger("replica")

ADDRESS = "homing.dev/transfer-address"
"""The annotation of the Lease that tells where the leader feeds its replicas: ``HOST:PORT``."""

KEY_LOOK, KEY_AGAIN = 30.0, 2.0
"""Seconds between two looks at the key's Secret, and those while it is not known or was refused."""

LISTEN_AGAIN = 15.0
"""Seconds after which it is tried again to listen for replicas."""

FRESH = 5.0
"""Seconds for which what a replica serves counts as current after it was last known to be so."""


class Replicas:
    """One replica among the others. ``run`` it; ``lead`` while leading, ``follow`` while not."""

    def __init__(
        self,
        authority: Authority,
        transfers: Transfers,
        *,
        advertise: str,
        turn: asyncio.Lock,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        """``advertise`` is the own address, with or without a port; left out, the one towards the API server."""
        self.annotations: dict[str, str] = {}
        """What the leader tells by its Lease."""
        self.current_at = float("-inf")
        """Monotonic time at which what is served was last known to be what the leader serves."""
        self._feed = Feed(authority, transfers.primary, clock, chance)
        self._authority = authority
        self._transfers = transfers
        self._advertise = advertise
        self._turn = turn
        self._clock = clock
        self._chance = chance
        self._key = TransferKey()
        self._refused = asyncio.Event()
        self._replica: Replica | None = None

    def heard(self) -> None:
        """Take note of how current the view of the leader that is followed is."""
        if self._replica is not None and self._replica.current_at is not None:
            self.current_at = max(self.current_at, self._replica.current_at)

    @property
    def is_current(self) -> bool:
        """Whether what is served is what a leader serves now."""
        self.heard()
        return self._replica is not None and self._clock.monotonic() - self.current_at < FRESH

    def allow(self, policy: TransferPolicy) -> TransferPolicy:
        """The policy with which the other replicas may transfer, too."""
        key = self._feed.key
        if key is None:
            return policy
        rule = Rule((), key.name)

        def opened(one: ZonePolicy) -> ZonePolicy:
            return replace(one, others=(*one.others, rule))

        zones = {origin: opened(one) for origin, one in policy.zones.items()}
        return replace(policy, keys=(*policy.keys, key), default=opened(policy.default), zones=zones)

    async def run(self, client: KubeClient, server: str) -> None:
        """Listen for replicas and look after the key, until cancelled. ``server`` is the API server's URL."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(server))
            group.create_task(self._keep_key(client))

    async def lead(self, client: KubeClient) -> None:
        """Feed the others from now on. ``client`` writes for the leader only."""
        await self._key.make(client)
        self._use_key()
        self._feed.begin()

    async def end(self) -> None:
        """Feed them no longer."""
        await self._feed.end()

    async def follow(self, client: KubeClient, election: Election, take: Take) -> None:
        """Follow the leader that the election sees until cancelled; ``take`` is told of the Zones there are."""
        self._replica = replica = Replica(
            self._authority,
            self._transfers.keeper,
            leader=lambda: "" if election.leader == election.identity else election.told(ADDRESS),
            key=lambda: self._key.key,
            turn=self._turn,
            clock=self._clock,
            chance=self._chance,
            on_refused=self._refused.set,
        )
        zones = ZoneFollow(client, take, clock=self._clock, chance=self._chance)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(zones.run())
                group.create_task(replica.run())
        finally:
            self.heard()
            self._replica = None

    def want(self, origins: Iterable[Name]) -> None:
        """These zones there are; the catalog is followed as they are."""
        if self._replica is not None:
            self._replica.want((*origins, *self._transfers.catalogs))

    async def _listen(self, server: str) -> None:
        told = ""
        while True:
            try:
                host, port = await self._own_address(server)
                async with self._feed.listening(host, port) as real:
                    shown = f"[{host}]" if ":" in host else host
                    self.annotations[ADDRESS] = f"{shown}:{real}"
                    log.info("other replicas find this one", address=self.annotations[ADDRESS])
                    await asyncio.Event().wait()
            except (OSError, ListenError, ConfigError) as error:
                if told != str(error):
                    log.error("other replicas cannot follow this one", reason=str(error))  # noqa: TRY400
                told = str(error)
            await self._clock.sleep(LISTEN_AGAIN)

    async def _own_address(self, server: str) -> tuple[str, int]:
        if self._advertise:
            return parse_listen(self._advertise, "--advertise", 0)
        parts = urlsplit(server)
        return await asyncio.to_thread(_towards, parts.hostname or "localhost", parts.port or 443), 0

    async def _keep_key(self, client: KubeClient) -> None:
        while True:
            await self._key.read(client)
            self._use_key()
            await self._clock.sleep(KEY_AGAIN)
            self._refused.clear()
            if self._key.key is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KEY_LOOK):
                        await self._refused.wait()

    def _use_key(self) -> None:
        """A new key counts at once; replicas that have the old one read it anew when they are refused."""
        if self._feed.key != self._key.key:
            self._feed.key = self._key.key
            with contextlib.suppress(ConfigError):  # told where it is watched
                self._transfers.refresh()


def _towards(host: str, port: int) -> str:
    """The own address by which a server is reached; nothing is sent. Raises OSError."""
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, proto) as found:
        found.connect(address)
        return str(found.getsockname()[0])
