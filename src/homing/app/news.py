"""What people are told of: the situation of a daemon and of an operator, and who is told by the settings."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from homing.app.cluster.settings import ClusterSettings
from homing.app.places import expanded
from homing.app.settings import Loaded
from homing.effects.metrics import OVERDUE
from homing.effects.secret import Secret, secret_from_environment, secret_from_file
from homing.errors import ConfigError, DeliveryError
from homing.messages.by_apprise import REMEDY, UNKNOWN, Apprise, installed, is_known
from homing.messages.messenger import Wishes
from homing.messages.outbox import MAX_RECEIVERS, read_receivers, told
from homing.messages.ping import ping_url
from homing.messages.watch import Situation, Trouble
from homing.model.lockout import Lockout
from homing.model.observation import Outcome

if TYPE_CHECKING:
    from homing.app.household import Household
    from homing.operator.runtime import Operator
    from homing.turn.memory import Memory

TURNS: Trouble = ("failed", "looks at names")


def wishes_of(loaded: Loaded) -> Wishes:
    """What a homing.toml asks for. Raises ConfigError; secrets are read when they are used."""
    given, where = loaded.settings.messages, f"{loaded.origin}: messages"
    if given.urls_file and given.urls_env:
        raise ConfigError(where, "more than one list of URLs is given", "give urls_file or urls_env")
    if given.ping_file and given.ping_env:
        raise ConfigError(where, "more than one URL to ping is given", "give ping_file or ping_env")
    return _checked(
        Wishes(
            _secret(loaded, given.urls_file, given.urls_env, f"{where}.urls"),
            _secret(loaded, given.ping_file, given.ping_env, f"{where}.ping"),
            given.kinds,
            given.gather,
            given.repeat,
            given.failed_after,
        ),
        f"{where}.urls_{'file' if given.urls_file else 'env'}",
    )


def check_wishes(loaded: Loaded) -> list[ConfigError]:
    """All that is wrong with them, the secrets too; nothing is sent."""
    found: list[ConfigError] = []
    try:
        wishes = wishes_of(loaded)
    except ConfigError as error:
        return [error]
    for secret, look in ((wishes.receivers, _look_at_receivers), (wishes.ping, ping_url)):
        if secret is not None:
            try:
                look(secret.reveal(), secret.origin)
            except ConfigError as error:
                found.append(error)
    return found


def _look_at_receivers(text: str, where: str) -> None:
    receivers = read_receivers(text)
    if not receivers:
        raise ConfigError(where, "names no receiver", "write an apprise URL into a line of it")
    for number, url in enumerate(receivers, 1):
        if not is_known(url):
            raise ConfigError(where, f"receiver {told(number, url)}: {UNKNOWN}", "see apprise's list of services")


async def tell(loaded: Loaded, text: str) -> list[tuple[str, str]]:
    """Send a message to everybody now: what each receiver is called, and what went wrong. Raises ConfigError."""
    wishes = wishes_of(loaded)
    if wishes.receivers is None:
        raise ConfigError(f"{loaded.origin}: messages", "nobody is told anything", 'add urls_file = "FILE"')
    receivers, apprise = read_receivers(wishes.receivers.reveal())[:MAX_RECEIVERS], Apprise()
    title = f"Homing on {socket.gethostname()}"
    sent = await asyncio.gather(*(apprise.deliver(url, title, text) for url in receivers), return_exceptions=True)
    found: list[tuple[str, str]] = []
    for number, (url, problem) in enumerate(zip(receivers, sent, strict=True), 1):
        if problem is not None and not isinstance(problem, DeliveryError):
            raise problem
        found.append((told(number, url), str(problem or "")))
    return found


def cluster_wishes(settings: ClusterSettings) -> Wishes:
    """What the operator's flags ask for. Raises ConfigError."""
    files = (expanded(text, "flags") if text else None for text in (settings.messages_file, settings.ping_file))
    urls, ping = files
    return _checked(
        Wishes(
            secret_from_file(urls, "messages-file") if urls else None,
            secret_from_file(ping, "ping-file") if ping else None,
        ),
        "messages-file",
    )


def _secret(loaded: Loaded, file: str, variable: str, where: str) -> Secret | None:
    if file:
        return secret_from_file(loaded.base / expanded(file, f"{where}_file"), f"{where}_file")
    return secret_from_environment(variable, f"{where}_env") if variable else None


def _checked(wishes: Wishes, where: str) -> Wishes:
    if wishes.receivers is not None and not installed():
        raise ConfigError(where, "messages need a package that is not installed", REMEDY)
    return wishes


def household_situation(household: Household) -> Situation | None:
    """How things are with a daemon."""
    troubles: dict[Trouble, str] = {}
    unsure: set[Trouble] = set()
    for family, verdict in household.verdicts.items():
        one: Trouble = ("disputed", f"WAN {family}")
        if verdict.outcome is Outcome.DISPUTED:
            troubles[one] = f"WAN {family} is disputed, the last good address stays: {verdict.reason}"
        elif verdict.outcome is Outcome.UNKNOWN:
            unsure.add(one)
    failing = household.overdue > OVERDUE
    for reconciler in household.reconcilers.values():
        for lockout in reconciler.restraint.lockouts:
            troubles[_locked(lockout)] = lockout.reason
        for name, state in reconciler.states.items():
            failing |= bool(state.error)
            if state.error and not state.locked:
                troubles["failed", f"{name.text} at {reconciler.provider.name}"] = state.error
    if household.overdue > OVERDUE:
        troubles[TURNS] = "names have not been looked at for long: a turn hangs or fails"
    good = household.memory.good
    return Situation(
        {f"WAN {family}": str(good[family].address) for family in household.families if family in good},
        troubles,
        frozenset(unsure),
        _drifts(household.memory),
        min((one.turned_at for one in household.reconcilers.values()), default=0.0),
        failing,
    )


def operator_situation(operator: Operator, now: float) -> Situation | None:
    """How things are in a cluster, as its leader knows; None for all others. ``now`` is Unix seconds."""
    from homing.operator.site_views import site_addresses

    term = operator.term
    if term is None or not term.synced or not term.world.sites.synced.is_set():
        return None
    addresses: dict[str, str] = {}
    troubles: dict[Trouble, str] = {}
    unsure: set[Trouble] = set()
    for site in term.world.sites.values():
        subject = f"Site {site.metadata.name}"
        for family, address in site_addresses(site).items():
            addresses[f"{subject} {family}"] = str(address)
        conditions = {item.type: item for item in site.status.conditions}
        disputed, detected = conditions.get("Disputed"), conditions.get("Detected")
        if disputed is not None and disputed.status == "True":
            troubles["disputed", subject] = f"{subject} is disputed: {disputed.message}"
        elif detected is None or detected.reason != "Agreed":
            unsure.add(("disputed", subject))
    for lockout in term.memory.lockouts:
        troubles[_locked(lockout)] = lockout.reason
    for which, report in term.domains.reports.items():
        entry = term.domains.entries.get(which)
        if entry is not None and report.reason == "UpdateFailed":
            troubles["failed", f"{entry.name.text} at {entry.provider}"] = report.message
    failing = bool(troubles.keys() - {one for one in troubles if one[0] == "disputed"})
    overdue = term.turns.overdue > OVERDUE
    if overdue:
        troubles[TURNS] = "Domains have not been looked at for long: a turn hangs or fails"
    # The queue is looked at all the time: that it moves is the sign of life, where no Domain asks for regular turns.
    return Situation(addresses, troubles, frozenset(unsure), _drifts(term.memory), now, failing or overdue)


def _drifts(memory: Memory) -> dict[Trouble, tuple[float, str]]:
    return {
        ("drift", subject): (event.at, f"{event.detail}; it is put back to what it should hold")
        for subject, event in memory.drifts.items()
    }


def _locked(lockout: Lockout) -> Trouble:
    return ("lockout", f"{lockout.provider} {lockout.host}".strip())
