"""The key by which replicas of ``homing dns`` know each other: in a Secret of their namespace, which a leader makes."""

from __future__ import annotations

import base64
import secrets

from homing.dns.transfers.tsig import Key, tsig_key
from homing.effects.log import get_logger
from homing.errors import KubeError, ModelError, NotFound
from homing.kube.client import KubeClient
from homing.kube.resource import SECRETS

SECRET = "homing-dns-transfer"  # noqa: S105 - its name
"""The Secret, and the name of the key that goes over the wire."""

ITEM = "key"
"""The item of the Secret that holds the key in Base64."""

ALGORITHM = "hmac-sha256"
SIZE = 32
"""Octets of the key."""

log = get_logger("replica")


class TransferKey:
    """The key as last read; None while it is not known."""

    def __init__(self) -> None:
        self.key: Key | None = None
        self._told = ""

    async def read(self, client: KubeClient) -> bool:
        """Read it; what fails keeps the one known, and is told once. Whether the Secret is positively not there."""
        try:
            found = await client.get(SECRETS, SECRET, client.namespace)
            self.key = tsig_key(SECRET, ALGORITHM, found.data.get(ITEM, b"").decode("ascii", "replace"))
        except NotFound:
            return True
        except (KubeError, ModelError) as error:
            if self._told != str(error):
                log.warning("replicas cannot follow the leader without their key", secret=SECRET, reason=str(error))
            self._told = str(error)
        else:
            self._told = ""
        return False

    async def make(self, client: KubeClient) -> None:
        """Make the Secret if there is none; of two that make one the first counts. ``client`` is that of the leader."""
        if not await self.read(client):
            return
        text = base64.b64encode(secrets.token_bytes(SIZE))
        body = {
            "metadata": {"name": SECRET, "namespace": client.namespace},
            "type": "Opaque",
            "data": {ITEM: base64.b64encode(text).decode()},
        }
        try:
            await client.apply(SECRETS, SECRET, body, client.namespace, field_manager="homing-dns", force=False)
        except KubeError as error:
            log.warning("the key of the replicas cannot be made", secret=SECRET, reason=str(error))
        await self.read(client)
