"""The Domain of the Strato DynDNS controller for Kubernetes, as its users have written it; status fields were added."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from homing.kube.kinds.common import LABEL, Conditions, Time
from homing.kube.objects import ObjectMeta
from homing.kube.schema import WHOLE, Doc, Limits, Rule

STRATO_GROUP = "dyndns.contrib.strato.com"

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_FQDN = f"^{LABEL}([.]{LABEL})*$"
_IPV4 = f"^{_OCTET}([.]{_OCTET}){{3}}$"


class PasswordRef(Struct, frozen=True, kw_only=True, rename="camel"):
    """A reference to the Secret with the password."""

    name: Annotated[str, Limits(minLength=1, maxLength=253), Doc("Name of the Secret; its key is password.")]
    namespace: Annotated[
        str | None, Limits(maxLength=63), Doc("Not used: the Secret is read in the namespace of this Domain.")
    ] = None


class StratoDomainSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    """What should be."""

    fqdn: Annotated[
        str,
        Limits(maxLength=253, pattern=_FQDN),
        Rule(
            f"self.matches('{_FQDN}')",
            "is not a domain: write it like www.example.org, of letters, digits and hyphens, without a final dot",
        ),
        Doc("The domain or subdomain whose addresses Strato shall know, like www.example.org."),
    ]
    ip_address: Annotated[
        str | None,
        Limits(maxLength=15, pattern=_IPV4),
        Rule(
            f"self.matches('{_IPV4}')",
            "is not an IPv4 address: write it like 192.0.2.1, or remove ipAddress to follow the WAN address",
        ),
        Doc("This IPv4 address (mode Manual). Left out: the WAN address (mode Dynamic)."),
    ] = None
    enabled: Annotated[bool, Doc("false pauses this Domain; what is published stays.")] = True
    interval: Annotated[int, Limits(minimum=5, format="int32"), Doc("Minutes between two turns.")] = 5
    password: Annotated[PasswordRef, WHOLE, Doc("The Secret that holds the DynDNS password under the key password.")]


class StratoDomainStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is."""

    enabled: Annotated[bool | None, Doc("Whether the Domain was enabled at the last turn.")] = None
    ip_address: Annotated[str | None, Limits(maxLength=15), Doc("The IPv4 address of the last successful update.")] = (
        None
    )
    ipv6_address: Annotated[
        str | None, Limits(maxLength=45), Doc("The IPv6 address of the last successful update.")
    ] = None
    mode: Annotated[str | None, Limits(maxLength=16), Doc("Manual with spec.ipAddress, else Dynamic.")] = None
    last_loop: Annotated[Time | None, Doc("When the last turn ended.")] = None
    last_result: Annotated[bool | None, Doc("Whether the last turn succeeded.")] = None
    observed_generation: Annotated[
        int, Limits(minimum=0, format="int64"), Doc("The generation of the spec that this status is about.")
    ] = 0
    conditions: Annotated[Conditions, Doc("Ready, Synced, Locked and Conflict, as in a Domain of homing.dev.")] = ()


class StratoDomain(Struct, frozen=True, kw_only=True, rename="camel"):
    """A name at Strato that follows the WAN address, or holds the address it is given."""

    api_version: str = f"{STRATO_GROUP}/v1alpha1"
    kind: str = "Domain"
    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[StratoDomainSpec, Doc("What should be.")]
    status: Annotated[StratoDomainStatus, Doc("What is, as Homing last saw it.")] = StratoDomainStatus()
