"""What a turn needs to remember, held in memory and written to the store before it counts (law 8)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from homing.effects.log import get_logger
from homing.errors import StoreError
from homing.model.address import Address, Family
from homing.model.lockout import Lockout
from homing.model.name import Name
from homing.model.rrset import RRset
from homing.store import Event, GoodAddress, Store, Update

log = get_logger("memory")

TIDY = 100
"""Versions of zones after which the store's log is taken into its tables, while nobody waits for a write."""


MAX_DRIFTS = 10_000
"""Names whose last drift is kept in mind."""


class Memory:
    """The store as the runtime sees it: reads from memory, writes through one thread, survives a full disk.

    When the disk refuses a write, memory goes on (names must follow all the same), ``trouble`` says so to people, and
    ``on_error`` is called. With ``write=False`` nothing reaches the disk, as ``homing plan`` wants.
    """

    def __init__(
        self,
        store: Store | None,
        *,
        write: bool = True,
        on_error: Callable[[], None] = lambda: None,
        tell: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """``tell`` hears of every event."""
        self._store = store if write else None
        self._on_error = on_error
        self._tell = tell
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._pending: dict[tuple[object, ...], tuple[Any, ...]] = {}
        self._versions = 0
        self.trouble = ""
        self.salt = store.salt if store else b"\0" * 16
        self.good: dict[Family, GoodAddress] = store.good_addresses() if store else {}
        self.published: dict[tuple[str, Name, int], RRset] = dict(store.published()) if store else {}
        self.accounts: dict[tuple[str, Name], str] = store.accounts() if store else {}
        self.requests: dict[tuple[str, Name], float] = store.last_requests() if store else {}
        self.lockouts: list[Lockout] = store.lockouts() if store else []
        self.drifts: dict[str, Event] = {}
        """The last drift of each name since the start."""

    def read_lockouts(self) -> None:
        """Take over what ``homing unlock`` changed on disk."""
        if self._store is not None:
            unwritten = [one for one in self.lockouts if ("lockout", *_key(one)) in self._pending]
            with contextlib.suppress(StoreError):
                written = [one for one in self._store.lockouts() if ("lockout", *_key(one)) not in self._pending]
                self.lockouts = written + unwritten

    def forget_other_account(self, key: tuple[str, Name], account: str) -> None:
        """What a name held under another account or at another server is no longer taken for published."""
        if self.accounts.get(key, account) not in ("", account):
            for known in [known for known in self.published if known[:2] == key]:
                del self.published[known]

    def names_at(self, provider: str) -> int:
        """How many names are published at a provider."""
        return len({name for at, name, _ in self.published if at == provider})

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown(wait=True)

    async def _write(self, key: tuple[object, ...] | None, method: Callable[..., object], *values: object) -> None:
        """Write; what the disk refuses is written once it takes it again, the last value for each ``key``."""
        if self._store is None:
            return
        if key is not None:
            self._pending.pop(key, None)
        if await self._reaches_disk(method, *values):
            while self._pending:
                owed = next(iter(self._pending))
                if not await self._reaches_disk(*self._pending[owed]):
                    break
                self._pending.pop(owed, None)
        elif key is not None:
            self._pending[key] = (method, *values)

    async def _reaches_disk(self, method: Callable[..., object], *values: object) -> bool:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, lambda: method(*values))
        except StoreError as error:
            if not self.trouble:
                log.error("state is kept in memory only", reason=str(error))  # noqa: TRY400
            self.trouble = str(error)
            self._on_error()
            return False
        if self.trouble:
            log.info("state is kept on disk again")
        self.trouble = ""
        return True

    async def agreed(self, family: Family, address: Address, at: float, reason: str) -> bool:
        """An address was agreed on; True when it is a new one."""
        known = self.good.get(family)
        changed = known is None or known.address != address
        since = at if known is None or changed else known.since
        if self._store is not None:
            await self._write(("good", family), self._store.record_good, family, address, at, reason)
        self.good[family] = GoodAddress(family, address, since, at)
        return changed

    async def read(self, provider: str, name: Name, rrsets: Sequence[RRset], at: float) -> None:
        """A provider told what a name holds."""
        before = {key[2]: rrset for key, rrset in self.published.items() if key[:2] == (provider, name)}
        if {rrset.type: rrset for rrset in rrsets} == before:
            return
        if self._store is not None:
            await self._write(None, self._store.replace_published, provider, name, rrsets, at)
        for rtype in before:
            del self.published[provider, name, rtype]
        self.published.update({(provider, name, rrset.type): rrset for rrset in rrsets})

    async def asked(self, provider: str, name: Name, at: float) -> None:
        """A provider is about to be asked to change a name."""
        self.requests[provider, name] = at
        if self._store is not None:
            await self._write(("request", provider, name), self._store.record_request, provider, name, at)

    async def updated(
        self,
        update: Update,
        name: Name,
        published: Sequence[RRset] = (),
        removed: Sequence[int] = (),
        account: str = "",
    ) -> None:
        """A request ended; on success, what is published since.

        Memory first, here and for lockouts: what a provider said is so, even when this task is cancelled meanwhile.
        """
        for rrset in published:
            self.published[update.provider, name, rrset.type] = rrset
            self.accounts[update.provider, name] = account
        for rtype in removed:
            self.published.pop((update.provider, name, rtype), None)
        if self._store is not None:
            await self._write(
                ("update", update.provider, name), self._store.record_update, update, published, removed, account
            )

    async def locked(self, lockout: Lockout) -> None:
        """A provider asked for a pause."""
        self.lockouts = [known for known in self.lockouts if _key(known) != _key(lockout)] + [lockout]
        if self._store is not None:
            await self._write(("lockout", *_key(lockout)), self._store.put_lockout, lockout)

    async def lifted(self, lockout: Lockout) -> None:
        """A pause is over."""
        if self._store is not None:
            await self._write(("lockout", *_key(lockout)), self._store.lift_lockout, lockout)
        self.lockouts = [known for known in self.lockouts if _key(known) != _key(lockout)]

    async def happened(self, event: Event) -> None:
        """Something worth telling."""
        self._tell(event)
        if event.kind == "drift" and (event.subject in self.drifts or len(self.drifts) < MAX_DRIFTS):
            self.drifts[event.subject] = event
        if self._store is not None:
            await self._write(None, self._store.record_event, event)

    async def zone(self, origin: Name, write: Callable[[Store], None]) -> None:
        """A zone has a new version, which ``write`` puts into the store."""
        if self._store is not None:
            await self._write(("zone", origin), write, self._store)
            self._versions += 1
            if self._versions % TIDY == 0:
                self._thread.submit(self._tidy, self._store)

    @staticmethod
    def _tidy(store: Store) -> None:
        with contextlib.suppress(StoreError):  # a write that the disk refuses tells
            store.checkpoint()

    async def zones(self, write: Callable[[Store], None]) -> None:
        """Something changed for many zones; what the disk refuses is not tried again."""
        if self._store is not None:
            await self._write(None, write, self._store)

    async def document(self, key: str, body: bytes, at: float) -> None:
        """A document, such as the state that ``homing status`` shows."""
        if self._store is not None:
            await self._write(None, self._store.save_document, key, body, at)


def _key(lockout: Lockout) -> tuple[str, str, str, str]:
    return (lockout.provider, lockout.account, lockout.host, lockout.code)
