"""The status of Providers, and their lockouts, which outlive every leader (law 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import KubeError, NotFound
from homing.kube.client import KubeClient
from homing.kube.kinds import CLUSTER_PROVIDERS, PROVIDERS
from homing.kube.kinds.provider import ClusterProvider, LockoutStatus, Provider
from homing.kube.objects import ObjectReference
from homing.kube.recorder import Recorder
from homing.kube.resource import Resource
from homing.kube.watch import Mirror
from homing.model.lockout import Lockout
from homing.model.name import Name
from homing.operator.conditions import condition, condition_data, moment, seconds_of
from homing.operator.entry import ProviderId, Unready
from homing.operator.own import reference
from homing.operator.providers import Providers
from homing.providers.https import excerpt
from homing.turn.memory import Memory

log = get_logger("accounts")

LOCKOUTS = "homing.dev/lockouts"
"""The annotation of a Strato Domain with the pauses of its account: the seed's schema has no place for them."""

MAX_LOCKOUTS, MAX_OWN_LOCKOUTS = 1000, 32
"""Lockouts that the status of a provider takes, and those that one Strato Domain may have."""

MAX_ANNOTATION = 64 * 1024
"""Characters of that annotation."""

LONGEST = 86_400.0
"""Seconds that a lockout with an end may still last when it is read back; no provider asks for nearly as much."""

AGAIN = 15.0
"""Seconds after which a status that could not be written is written again."""


class Accounts:
    """Writes the status of Providers and ClusterProviders, and reads their lockouts back at the start."""

    def __init__(
        self,
        own: Mirror[Provider],
        cluster: Mirror[ClusterProvider],
        providers: Providers,
        *,
        client: KubeClient,
        memory: Memory,
        recorder: Recorder,
        users: Callable[[ProviderId], int],
        clock: Clock,
    ) -> None:
        self._mirrors: dict[str, tuple[Resource[Any], Mirror[Any]]] = {
            "Provider": (PROVIDERS, own),
            "ClusterProvider": (CLUSTER_PROVIDERS, cluster),
        }
        self._providers = providers
        self._client = client
        self._memory = memory
        self._recorder = recorder
        self._users = users
        self._clock = clock
        self._seen: set[tuple[ProviderId, str]] = set()
        self._written: dict[ProviderId, tuple[str, dict[str, Any]]] = {}

    def learn(self, which: ProviderId, found: Provider | ClusterProvider | None) -> None:
        """A provider is there: the pauses that its status tells hold, whoever earned them."""
        if found is None:
            self._written.pop(which, None)
            self._seen = {seen for seen in self._seen if seen[0] != which}
            return
        if (which, found.metadata.uid) not in self._seen:
            self._seen.add((which, found.metadata.uid))
            now = self._clock.time()
            learn_lockouts(self._memory, (lockout_of(which, item, now) for item in found.status.lockouts))

    async def turn(self, which: ProviderId) -> float | None:
        """Write the status of a provider where it differs."""
        resource, mirror = self._mirrors[which.kind]
        found: Provider | ClusterProvider | None = mirror.get((which.namespace, which.name))
        if found is None:
            return None
        problem = await self._problem(which)
        status = self._status(which, found, problem)
        uid = found.metadata.uid
        if (uid, status) == self._written.get(which):
            return None
        self._tell(which, found, resource, problem)
        body = {"metadata": {"uid": uid}, "status": status}
        try:
            await self._client.patch(resource, which.name, body, which.namespace, sub="status")
        except NotFound:
            return None
        except KubeError as error:
            log.warning("status not written, trying again", provider=str(which), reason=str(error))
            return AGAIN
        self._written[which] = (uid, status)
        return None

    async def _problem(self, which: ProviderId) -> Unready | None:
        found = self._providers.object(which)
        try:
            if found is not None:
                await self._providers.use(found)
        except Unready as problem:
            return problem if problem.reason != "ZoneServed" else None
        except KubeError as error:
            return Unready("Unreachable", str(error))
        return None

    def _status(self, which: ProviderId, found: Provider | ClusterProvider, problem: Unready | None) -> dict[str, Any]:
        now, generation, before = self._clock.time(), found.metadata.generation, found.status.conditions
        lockouts = [one for one in self._memory.lockouts if one.provider == which.key]
        account = next((one for one in lockouts if not one.host), None)
        known = self._providers.object(which)
        ready = problem is None and account is None
        reason = problem.reason if problem else "Locked" if account else "Usable"
        told = str(problem) if problem else account.reason if account else ""
        conditions = (
            condition(before, "Ready", ready, reason, told, at=now, generation=generation),
            condition(
                before,
                "Locked",
                account is not None,
                "Locked" if account else "NotLocked",
                account.reason if account else "",
                at=now,
                generation=generation,
            ),
        )
        return {
            "type": known.type if known is not None else None,
            "domains": self._users(which),
            "lockouts": [lockout_data(one) for one in latest(lockouts)],
            "observedGeneration": generation,
            "conditions": [condition_data(item) for item in conditions],
        }

    def _tell(
        self,
        which: ProviderId,
        found: Provider | ClusterProvider,
        resource: Resource[Any],
        problem: Unready | None,
    ) -> None:
        ref: ObjectReference = reference(resource.kind, resource.api_version, found.metadata)
        if problem is not None:
            self._recorder.event(ref, "Warning", problem.reason, str(problem), "Reconcile")
        for lockout in self._memory.lockouts:
            if lockout.provider == which.key:
                self._recorder.event(ref, "Warning", "Locked", lockout.reason, "Reconcile")


def learn_lockouts(memory: Memory, lockouts: Iterable[Lockout]) -> None:
    """Take lockouts over that were written by an earlier leader."""
    known = {(one.provider, one.account, one.host, one.code) for one in memory.lockouts}
    memory.lockouts += [one for one in lockouts if (one.provider, one.account, one.host, one.code) not in known]


def latest(lockouts: Iterable[Lockout]) -> list[Lockout]:
    """As many lockouts as a status takes: those of whole accounts first, then those that began last."""
    return sorted(lockouts, key=lambda one: (not one.host, one.since))[-MAX_LOCKOUTS:]


def lockout_data(lockout: Lockout) -> dict[str, Any]:
    """A lockout as JSON."""
    return {
        "account": lockout.account[:1024],
        "host": lockout.host[:253],
        "code": lockout.code[:64],
        "reason": lockout.reason[:1024],
        "since": moment(lockout.since),
        "until": moment(lockout.until) if lockout.until is not None else None,
        "fingerprint": lockout.fingerprint[:128],
    }


def lockout_of(which: ProviderId, item: LockoutStatus, now: float) -> Lockout:
    """A lockout from JSON, which anybody may have written: no text is longer than ours, no end further away."""
    until = min(seconds_of(item.until), now + LONGEST) if item.until else None
    since = min(seconds_of(item.since), now)
    code, reason = excerpt(item.code[:64]), excerpt(item.reason, limit=1024)
    return Lockout(which.key, item.account[:1024], item.host[:253], code, reason, since, until, item.fingerprint[:128])


def lockouts_text(memory: Memory, which: ProviderId, name: Name) -> str | None:
    """The annotation for a Strato Domain with the lockouts of its own account; None for none."""
    mine = [one for one in memory.lockouts if one.provider == which.key and _is_of(one, name)]
    found = [lockout_data(one) for one in latest(mine)[-MAX_OWN_LOCKOUTS:]]
    return msgspec.json.encode(found).decode() if found else None


def lockouts_in(which: ProviderId, name: Name, text: str, now: float) -> list[Lockout]:
    """The lockouts of a Strato Domain's annotation; one that cannot be read holds none.

    Those of other accounts do not count: who may write one Domain does not speak for another.
    """
    if len(text) > MAX_ANNOTATION:
        return []
    try:
        read = msgspec.json.decode(text, type=list[LockoutStatus])
    except (msgspec.DecodeError, RecursionError):
        return []
    mine = [one for item in read if _is_of(one := lockout_of(which, item, now), name)]
    return mine[:MAX_OWN_LOCKOUTS]


def _is_of(lockout: Lockout, name: Name) -> bool:
    """Whether a lockout is of a Strato Domain's own account, of which its name is the user."""
    return lockout.account.startswith(f"{name.text}@") and lockout.host in ("", name.text)
