"""Site: nodes that share one way to the internet, and the address by which the internet sees them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from homing.kube.kinds.common import API_VERSION, FAMILIES, Conditions, Families, Family, Time
from homing.kube.objects import ObjectMeta
from homing.kube.schema import UNIQUE, Doc, Limits, Rule, keyed, one_of

METHODS = ("STUN", "HTTP", "Whoami", "Interface")

StunServer = Annotated[
    str,
    Limits(minLength=1, maxLength=260),
    Rule(
        "self.matches('^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?$')",
        'is not a server: write it like stun.example.org:3478 or "[2001:db8::1]:3478"',
    ),
]

StunServers = Annotated[tuple[StunServer, ...], UNIQUE, Limits(maxItems=64)]


class Detect(Struct, frozen=True, kw_only=True, rename="camel"):
    """How the address is learnt."""

    families: Annotated[Families, Doc("Address families to detect. Left out: both.")] = FAMILIES
    methods: Annotated[
        tuple[Annotated[str, one_of(*METHODS)], ...],
        UNIQUE,
        Limits(minItems=1, maxItems=4),
        Doc("Who is asked: STUN servers, HTTP services, DNS servers (Whoami), the node's interfaces. Left out: all."),
    ] = METHODS
    stun_servers: Annotated[
        StunServers, Doc("STUN servers that are asked over UDP, in place of the built-in ones, like HOST:3478.")
    ] = ()
    stun_tcp_servers: Annotated[StunServers, Doc("STUN servers that are asked over TCP, like HOST:3478.")] = ()
    http_services: Annotated[
        tuple[
            Annotated[
                str,
                Limits(maxLength=1024),
                Rule(
                    "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",
                    "is not a URL: write it like https://ip.example.org",
                ),
            ],
            ...,
        ],
        UNIQUE,
        Limits(maxItems=32),
        Doc("URLs that answer with the caller's address, in place of the built-in ones."),
    ] = ()
    accept_networks: Annotated[
        tuple[
            Annotated[
                str,
                Limits(maxLength=49),
                Rule("isCIDR(self)", "is not a network: write it like 100.64.0.0/10 or 2001:db8::/32"),
            ],
            ...,
        ],
        UNIQUE,
        Limits(maxItems=32),
        Doc("Networks whose addresses count although they are not globally reachable, like 100.64.0.0/10."),
    ] = ()
    quorum: Annotated[
        int,
        Limits(minimum=1, maximum=20, format="int32"),
        Doc("How many independent operators must say the same address before it counts."),
    ] = 2
    timeout_seconds: Annotated[
        int, Limits(minimum=1, maximum=30, format="int32"), Doc("How long a round of questions may take.")
    ] = 5
    interval_seconds: Annotated[
        int, Limits(minimum=10, maximum=604800, format="int32"), Doc("Time between two whole rounds.")
    ] = 300
    probe_interval_seconds: Annotated[
        int,
        Limits(minimum=1, maximum=604800, format="int32"),
        Doc("Time between two looks at one observer alone; another address than before starts a whole round."),
    ] = 15


class SiteSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    """What should be."""

    node_selector: Annotated[
        dict[str, Annotated[str, Limits(maxLength=63)]] | None,
        Limits(minProperties=1, maxProperties=16),
        Doc(
            "The nodes of this site: those with all of these labels. Left out: none, but for Site default, which "
            "then has all nodes that no other Site selects."
        ),
    ] = None
    detect: Annotated[Detect, Doc("How the address is learnt. Left out: from well-known servers.")] = Detect()


class SiteAddress(Struct, frozen=True, kw_only=True, rename="camel"):
    """An address of a site."""

    family: Annotated[Family, Doc("IPv4 or IPv6.")]
    address: Annotated[str, Limits(maxLength=45), Doc("The address that the internet sees.")]
    since: Annotated[Time | None, Doc("When this address was first agreed on.")] = None
    confirmed_at: Annotated[Time | None, Doc("When it was last agreed on.")] = None


class SiteVote(Struct, frozen=True, kw_only=True, rename="camel"):
    """How the last round ended for a family."""

    family: Annotated[Family, Doc("IPv4 or IPv6.")]
    outcome: Annotated[
        str, one_of("Agreed", "Disputed", "Unknown"), Doc("Whether the operators that were asked agreed.")
    ] = "Unknown"
    asked: Annotated[int, Limits(minimum=0, format="int32"), Doc("Observers that were asked.")] = 0
    answered: Annotated[int, Limits(minimum=0, format="int32"), Doc("Observers whose answer counts.")] = 0
    agreed: Annotated[
        int, Limits(minimum=0, format="int32"), Doc("Operators that said the address with the most votes.")
    ] = 0
    disagreed: Annotated[int, Limits(minimum=0, format="int32"), Doc("Operators that said another.")] = 0
    reason: Annotated[str, Limits(maxLength=1024), Doc("The outcome in a sentence.")] = ""


class SiteStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is."""

    ipv4: Annotated[str | None, Limits(maxLength=15), Doc("The IPv4 address, as in addresses.")] = None
    ipv6: Annotated[str | None, Limits(maxLength=45), Doc("The IPv6 address, as in addresses.")] = None
    addresses: Annotated[
        tuple[SiteAddress, ...],
        keyed("family"),
        Limits(maxItems=2),
        Doc("The addresses that were last agreed on, one a family; a round that fails or is disputed keeps them."),
    ] = ()
    votes: Annotated[
        tuple[SiteVote, ...], keyed("family"), Limits(maxItems=2), Doc("How the last round ended, family by family.")
    ] = ()
    detected_at: Annotated[Time | None, Doc("When the last round ended.")] = None
    detected_by: Annotated[
        str | None, Limits(maxLength=253), Doc("The node whose agent detected, or operator where there is no agent.")
    ] = None
    observed_generation: Annotated[
        int, Limits(minimum=0, format="int64"), Doc("The generation of the spec that this status is about.")
    ] = 0
    conditions: Annotated[
        Conditions,
        Doc("Detected: an address is known. Disputed: the last round saw different ones, so the last good one stays."),
    ] = ()


class Site(Struct, frozen=True, kw_only=True, rename="camel"):
    """Nodes that share one way to the internet, and the address by which the internet sees them."""

    api_version: str = API_VERSION
    kind: str = "Site"
    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[SiteSpec, Doc("What should be. Left out: all defaults.")] = SiteSpec()
    status: Annotated[SiteStatus, Doc("What is, as the agent of this site last saw it.")] = SiteStatus()
