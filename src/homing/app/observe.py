"""From settings to who is asked for the WAN address, and the detector that asks."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from homing.app.build import accepted_networks
from homing.app.places import expanded
from homing.app.settings import Loaded
from homing.app.settings import Observer as Given
from homing.detect.ask import NetworkAsk
from homing.detect.builtin import default_observers
from homing.detect.detector import Detector, DetectorSettings
from homing.detect.interface import interface_addresses, stable
from homing.detect.observers import HttpService, Interfaces, Observer, StunServer
from homing.detect.round import RoundSettings
from homing.detect.server_lists import ListSource, ServerLists
from homing.detect.stun import Transport
from homing.detect.watch import watch_addresses
from homing.effects.clock import Clock
from homing.effects.http import HttpClient
from homing.effects.log import get_logger
from homing.errors import ConfigError, ObservationError
from homing.model.address import Address, Family
from homing.model.observation import Method, Verdict

log = get_logger("observe")

STUN_PORT = 3478
"""The port of a STUN server given without one (RFC 8489, section 18.4)."""


@dataclass(frozen=True, slots=True)
class Observing:
    """Who is asked, and how. ``observers`` may give others each time: server lists are sampled."""

    observers: Callable[[], Sequence[Observer]]
    ask: NetworkAsk
    settings: DetectorSettings
    lists: ServerLists | None


def build_observing(
    loaded: Loaded,
    http: HttpClient,
    *,
    clock: Clock,
    chance: random.Random,
    cache: Path | None = None,
    methods: frozenset[Method] = frozenset(Method),
) -> Observing:
    """Who is asked by these settings. ``cache`` keeps copies of server lists. Raises ConfigError."""
    detect = loaded.settings.detect
    accept = accepted_networks(loaded)
    stun, http_settings = detect.stun, detect.http
    where = f"{loaded.origin}: detect"
    fixed: list[Observer] = []
    lists: ServerLists | None = None
    if Method.INTERFACE in methods and detect.interface.enabled:
        fixed.append(Interfaces())
    if Method.WHOAMI in methods and detect.whoami.enabled:
        fixed += default_observers(frozenset({Method.WHOAMI}))
    if Method.STUN in methods and stun.enabled:
        given = [_stun(item, Transport.UDP, f"{where}.stun.servers") for item in stun.servers]
        given += [_stun(item, Transport.TCP, f"{where}.stun.tcp_servers") for item in stun.tcp_servers]
        sources = [
            ListSource(_location(text, loaded.base, f"{where}.stun.lists"), Transport.UDP) for text in stun.lists
        ]
        sources += [
            ListSource(_location(text, loaded.base, f"{where}.stun.tcp_lists"), Transport.TCP)
            for text in stun.tcp_lists
        ]
        if sources:
            lists = ServerLists(
                sources,
                http=http,
                clock=clock,
                chance=chance,
                cache=cache,
                limits=(stun.udp_limit, stun.tcp_limit),
                accept=accept,
            )
        fixed += given if given or sources else default_observers(frozenset({Method.STUN}))
    if Method.HTTP in methods and http_settings.enabled:
        services = [_service(item, f"{where}.http.services") for item in http_settings.services]
        fixed += services or default_observers(frozenset({Method.HTTP}))

    def observers() -> Sequence[Observer]:
        return (*fixed, *lists.servers()) if lists else tuple(fixed)

    settings = DetectorSettings(
        families=tuple(Family(number) for number in detect.families),
        round=RoundSettings(quorum=detect.quorum, deadline=detect.timeout),
        interval=detect.interval,
        probe_interval=detect.probe_interval,
    )
    return Observing(observers, NetworkAsk(http, clock, accept=accept), settings, lists)


def build_detector(
    observing: Observing, on_round: Callable[[Verdict], None], *, clock: Clock, chance: random.Random
) -> Detector:
    """The detector that follows the WAN address."""
    return Detector(
        observing.observers,
        observing.ask,
        clock=clock,
        chance=chance,
        settings=observing.settings,
        on_round=on_round,
        changes=lambda: watch_addresses(clock),
    )


def own_addresses() -> tuple[Address, ...] | None:
    """This machine's stable addresses, or None when they cannot be read; takes about a millisecond."""
    try:
        return tuple(dict.fromkeys(item.address for item in stable(interface_addresses())))
    except ObservationError as error:
        log.warning("own addresses cannot be read", reason=str(error))
        return None


def _stun(given: str | Given, transport: Transport, where: str) -> StunServer:
    text, operator = (given, "") if isinstance(given, str) else (given.server, given.operator)
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.endswith("]")):
        host, port = text, str(STUN_PORT)
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(where, f"{text!r} is not a server", 'write it like "stun.example.org:3478"')
    return StunServer(host, int(port), transport, operator)


def _service(given: str | Given, where: str) -> HttpService:
    url, operator = (given, "") if isinstance(given, str) else (given.url, given.operator)
    return HttpService(http_url(url, where), operator)


def http_url(text: str, where: str) -> str:
    """The URL of an HTTP service, checked. Raises ConfigError."""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not text.isprintable() or " " in text:
        raise ConfigError(where, f"{text[:80]!r} is not a URL", 'write it like "https://ip.example.org"')
    return text


def _location(text: str, base: Path, where: str) -> str:
    return http_url(text, where) if text.startswith(("http://", "https://")) else str(base / expanded(text, where))
