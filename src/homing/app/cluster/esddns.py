"""ESDDNS's ConfigMap ``esddns-config`` read: the keys that its pods took as environment, and its dns.ini (SPEC B6).

One key is Homing's own: ``authentication``, Bearer where the Secret holds a personal access token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homing.app.legacy import MIN_TTL, Ini, base_url, detection
from homing.app.observe import http_url
from homing.errors import ConfigError
from homing.operator.esddns import CONFIG, EsddnsConfig
from homing.providers.gandi import BASE

MIN_INTERVAL = 60
"""Seconds: the least that a Domain takes."""

MAX_SERVICES = 32
"""Services that a Site takes."""


def read_config_map(data: Mapping[str, str]) -> EsddnsConfig:
    """What the ConfigMap asks for. Raises ConfigError."""
    domain = data.get("target-domain", "").strip().rstrip(".").lower()
    if not domain:
        raise ConfigError(_key("target-domain"), "is missing or empty", "write the domain there, like example.org")
    record = data.get("record-name", "").strip().rstrip(".").lower() or "@"
    ttl = data.get("record-ttl", "").strip() or str(MIN_TTL)
    if not ttl.isascii() or not ttl.isdigit() or len(ttl) > 9:
        raise ConfigError(_key("record-ttl"), f"{ttl[:20]!r} is not a number of seconds", 'write "300"')
    authentication = data.get("authentication", "").strip() or "Apikey"
    if authentication not in ("Apikey", "Bearer"):
        told = f"{authentication[:20]!r} is neither Apikey nor Bearer"
        raise ConfigError(_key("authentication"), told, "write Bearer for a personal access token")
    ini = Ini(_key("dns.ini"), data.get("dns.ini", ""))
    interval = max(10, ini.number("ESDDNS", "daemon_thread_interval", 300))
    server = base_url(ini)
    return EsddnsConfig(
        fqdn=domain if record == "@" else f"{record}.{domain}",
        domain=domain,
        ttl=max(MIN_TTL, int(ttl)),
        interval=max(MIN_INTERVAL, interval),
        server="" if server == BASE else server,
        authentication=authentication,
        detect=_site(ini, interval),
    )


def _site(ini: Ini, interval: int) -> dict[str, Any]:
    """How a Site detects as this dns.ini says; its lists of STUN servers give way to the built-in servers."""
    found = detection(ini, float(interval))
    methods = [word for word, wanted in (("STUN", found.stun.enabled), ("HTTP", found.http.enabled)) if wanted]
    if not methods:
        return {"intervalSeconds": interval}
    where = ini.where("WANIPState", "ip_check_services")
    services = [http_url(str(url), where) for url in dict.fromkeys(found.http.services)]
    made = {"families": ["IPv4"], "methods": methods, "intervalSeconds": interval}
    return {**made, "httpServices": services[:MAX_SERVICES]} if services else made


def _key(key: str) -> str:
    return f"ConfigMap {CONFIG}: {key}"
