"""From the spec of a Site to the detector that follows its address: the same as a daemon's."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from homing.app.observe import build_detector, build_observing
from homing.app.settings import DetectSettings, HttpSettings, Loaded, Settings, StunSettings
from homing.detect.detector import Detector
from homing.effects.clock import Clock
from homing.effects.http import HttpClient
from homing.kube.kinds.site import Detect
from homing.model.observation import Method, Verdict

_FAMILIES: dict[str, Literal[4, 6]] = {"IPv4": 4, "IPv6": 6}
_METHODS = {"STUN": Method.STUN, "HTTP": Method.HTTP, "Whoami": Method.WHOAMI, "Interface": Method.INTERFACE}


class Detectors:
    """Makes detectors for Sites; they share an HTTP client."""

    def __init__(self, http: HttpClient, *, clock: Clock, chance: random.Random) -> None:
        self._http = http
        self._clock = clock
        self._chance = chance

    def make(self, detect: Detect, on_round: Callable[[Verdict], None]) -> Detector:
        """The detector for a Site's spec. Raises ConfigError when that cannot be right."""
        observing = build_observing(
            Loaded(settings_of(detect), "spec", Path()),
            self._http,
            clock=self._clock,
            chance=self._chance,
            methods=frozenset(_METHODS[method] for method in detect.methods),
        )
        return build_detector(observing, on_round, clock=self._clock, chance=self._chance)


def settings_of(detect: Detect) -> Settings:
    """The settings of a daemon that detects so."""
    return Settings(
        detect=DetectSettings(
            quorum=detect.quorum,
            interval=float(detect.interval_seconds),
            probe_interval=float(detect.probe_interval_seconds),
            timeout=float(detect.timeout_seconds),
            families=tuple(_FAMILIES[family] for family in detect.families),
            accept=tuple(detect.accept_networks),
            stun=StunSettings(servers=tuple(detect.stun_servers), tcp_servers=tuple(detect.stun_tcp_servers)),
            http=HttpSettings(services=tuple(detect.http_services)),
        )
    )
