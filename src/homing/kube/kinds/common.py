"""What the kinds share: texts that the API server checks, references to Secrets, TSIG algorithms."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from homing.kube.objects import Condition
from homing.kube.schema import Doc, Limits, Rule, keyed, one_of

GROUP = "homing.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

FAMILIES = ("IPv4", "IPv6")

LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_TOP = "[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_OWNER_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"

HostName = Annotated[
    str,
    Limits(minLength=1, maxLength=253),
    Rule(
        f"self.matches('^([*][.])?({LABEL}[.])+{_TOP}$')",
        "is not a host name: write it like www.example.org or *.example.org, of letters, digits and hyphens, "
        "without a final dot; other letters as xn--...",
    ),
]
"""A host name of at least two labels (RFC 1123, section 2.1), perhaps with ``*.`` in front."""

DomainName = Annotated[
    str,
    Limits(minLength=1, maxLength=253),
    Rule(
        f"self.matches('^({_OWNER_LABEL}[.])*{_OWNER_LABEL}$')",
        "is not a domain name: write it like example.org, without * and without a final dot; "
        "letters outside ASCII as xn--...",
    ),
]
"""A domain name without the final dot."""

IpAddress = Annotated[
    str,
    Limits(maxLength=45),
    Rule("isIP(self)", "is not an IP address: write it like 192.0.2.1 or 2001:db8::1"),
]

ServerUrl = Annotated[
    str,
    Limits(maxLength=1024),
    Rule(
        "isURL(self) && (self.matches('^https://[^/]') || "
        "self.matches('^http://(localhost|127[.][0-9.]+|[[]::1[]])(:[0-9]+)?(/.*)?$'))",
        "must be a URL that begins with https://, because a password is sent to it: write it like "
        "https://dyndns.example.org/nic/update (http:// only to this machine's own loopback)",
    ),
    Rule(
        "!self.contains('@') && !self.contains('?') && !self.contains('#')",
        "must not hold credentials or parameters: write the plain URL; the password belongs in the Secret",
    ),
]
"""Where requests with a password go: HTTPS, or HTTP on loopback."""

ServerAddress = Annotated[
    str,
    Limits(minLength=1, maxLength=260),
    Rule(
        "self.matches('^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?$') || isIP(self)",
        'is not a server: write it like ns1.example.org, 192.0.2.1:53 or "[2001:db8::1]:53"',
    ),
]
"""``HOST``, ``HOST:PORT``, an IPv6 address, or ``[ADDRESS]:PORT``."""

ObjectName = Annotated[
    str,
    Limits(minLength=1, maxLength=253),
    Rule(
        "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
        "is not the name of an object: write it as kubectl get shows it, in lower case, like my-example",
    ),
]

NamespaceName = Annotated[
    str,
    Limits(minLength=1, maxLength=63),
    Rule(
        "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
        "is not a namespace: write its name in lower case, like my-example",
    ),
]

SecretKeyName = Annotated[
    str,
    Limits(minLength=1, maxLength=253),
    Rule(
        "self.matches('^[-._a-zA-Z0-9]+$')",
        "is not a key of a Secret: write what stands before the colon in its data, like password",
    ),
]

Family = Annotated[str, one_of(*FAMILIES)]
Families = Annotated[tuple[Family, ...], Limits(minItems=1, maxItems=2, **{"x-kubernetes-list-type": "set"})]

Time = Annotated[str, Limits(format="date-time")]
"""RFC 3339."""

Conditions = Annotated[tuple[Condition, ...], keyed("type"), Limits(maxItems=16)]

KeyName = Annotated[
    str,
    Limits(minLength=1, maxLength=253),
    Rule(f"self.matches('^({_OWNER_LABEL}[.])*{_OWNER_LABEL}[.]?$')", "is not a key name: write it like homing-key"),
]
"""The name of a TSIG key, which is a domain name."""


class SecretKey(Struct, frozen=True, kw_only=True, rename="camel"):
    """A key of a Secret in the namespace of the object that refers to it."""

    name: Annotated[ObjectName, Doc("Name of the Secret, in the namespace of this object.")]
    key: Annotated[
        SecretKeyName | None,
        Doc("Key in the Secret. Left out: password for strato and dyndns2, api-key for gandi, key for rfc2136."),
    ] = None


class ClusterSecretKey(Struct, frozen=True, kw_only=True, rename="camel"):
    """A key of a Secret in any namespace."""

    namespace: Annotated[NamespaceName, Doc("Namespace of the Secret.")]
    name: Annotated[ObjectName, Doc("Name of the Secret.")]
    key: Annotated[
        SecretKeyName | None,
        Doc(
            "Key in the Secret. Left out: password for strato and dyndns2, api-key for gandi, key for rfc2136 and TSIG."
        ),
    ] = None
