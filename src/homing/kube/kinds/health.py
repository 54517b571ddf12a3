"""The health check of published addresses, as a Zone asks for it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Struct

from homing.kube.kinds.common import LABEL
from homing.kube.schema import UNIQUE, Doc, Limits, Rule

Port = Annotated[int, Limits(minimum=1, maximum=65535, format="int32")]


class TcpCheck(Struct, frozen=True, kw_only=True, rename="camel"):
    """A connection that is accepted."""

    port: Annotated[Port, Doc("Port to connect to.")]


class HttpCheck(Struct, frozen=True, kw_only=True, rename="camel"):
    """A GET that is answered with an expected status."""

    port: Annotated[Port | None, Doc("Port to connect to. Left out: 443 with tls, else 80.")] = None
    path: Annotated[
        str,
        Limits(minLength=1, maxLength=1024),
        Rule(
            "self.matches('^/[!-~]*$') && !self.contains('?') && !self.contains('#')",
            "is not a path: write it like /healthz, of ASCII letters without spaces, without parameters; "
            "other letters as %XX",
        ),
        Doc("Path that is asked for."),
    ] = "/"
    host: Annotated[
        str | None,
        Limits(minLength=1, maxLength=253),
        Rule(f"self.matches('^({LABEL}[.])*{LABEL}$')", "is not a host name: write it like www.example.org"),
        Doc(
            "Host that is asked for; with tls, the certificate must be for it, and from an authority that the server "
            "of the zone trusts. Left out: the address, and any certificate will do."
        ),
    ] = None
    tls: Annotated[bool, Doc("true asks by HTTPS.")] = False
    expected_statuses: Annotated[
        tuple[Annotated[int, Limits(minimum=200, maximum=599, format="int32")], ...],
        UNIQUE,
        Limits(maxItems=16),
        Doc("Statuses that count as healthy; redirects are not followed. Left out: 200 to 399."),
    ] = ()


class IcmpCheck(Struct, frozen=True, kw_only=True, rename="camel"):
    """A ping that is answered."""


class HealthCheck(Struct, frozen=True, kw_only=True, rename="camel"):
    """How published addresses are checked."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.tcp), has(self.http), has(self.icmp)].exists_one(given, given)",
            "write exactly one of tcp, http and icmp, for example tcp: {port: 443}",
        ),
        Rule(
            "self.timeoutSeconds <= self.intervalSeconds",
            "timeoutSeconds is longer than intervalSeconds: a probe must end before the next one begins",
        ),
    )

    tcp: Annotated[TcpCheck | None, Doc("Healthy is who accepts a TCP connection.")] = None
    http: Annotated[HttpCheck | None, Doc("Healthy is who answers a GET with an expected status.")] = None
    icmp: Annotated[
        IcmpCheck | None,
        Doc(
            "Healthy is who answers a ping. The server of the zone needs CAP_NET_RAW for it, or its group in "
            "net.ipv4.ping_group_range; without, all count as healthy."
        ),
    ] = None
    interval_seconds: Annotated[
        int, Limits(minimum=1, maximum=300, format="int32"), Doc("How often each address is probed.")
    ] = 2
    timeout_seconds: Annotated[
        int, Limits(minimum=1, maximum=30, format="int32"), Doc("How long an answer may take.")
    ] = 2
    rise: Annotated[
        int,
        Limits(minimum=1, maximum=10, format="int32"),
        Doc("Successes in a row after which an address that was left out is answered again."),
    ] = 2
    fall: Annotated[
        int,
        Limits(minimum=2, maximum=10, format="int32"),
        Doc(
            "Failures in a row after which an address is left out. They count only while another address answers; "
            "when all addresses of a name fail, all are answered."
        ),
    ] = 3
