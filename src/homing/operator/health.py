"""From the health check that an object asks for to the one that is run."""

from __future__ import annotations

from homing.checks import Check, Http, Icmp, Probe, Tcp
from homing.errors import ModelError
from homing.kube.kinds.health import HealthCheck


def check_of(asked: HealthCheck) -> Check:
    """The check that is asked for. Raises ModelError where the API server let through what it now refuses."""
    return Check(
        _probe_of(asked),
        interval=asked.interval_seconds,
        timeout=asked.timeout_seconds,
        rise=asked.rise,
        fall=asked.fall,
    )


def _probe_of(asked: HealthCheck) -> Probe:
    match [given for given in (asked.tcp, asked.http, asked.icmp) if given is not None]:
        case [_] if asked.tcp is not None:
            return Tcp(asked.tcp.port)
        case [_] if asked.http is not None:
            http = asked.http
            port = http.port if http.port is not None else (443 if http.tls else 80)
            return Http(port, http.path, http.host or "", http.tls, http.expected_statuses)
        case [_]:
            return Icmp()
        case _:
            raise ModelError("a health check is exactly one of tcp, http and icmp")
