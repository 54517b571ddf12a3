"""Provider and ClusterProvider: an account or a server that names are published at."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Struct

from homing.kube.kinds.common import (
    API_VERSION,
    ClusterSecretKey,
    Conditions,
    DomainName,
    KeyName,
    SecretKey,
    ServerAddress,
    ServerUrl,
    Time,
)
from homing.kube.objects import ObjectMeta
from homing.kube.schema import UNIQUE, WHOLE, Doc, Limits, Rule, keyed, one_of

PRESETS = ("strato", "noip", "dyn", "ovh", "inwx", "desec", "he", "dynu", "spdyn", "variomedia")
"""The dyndns2 services that are known by name; a test compares them with the providers' own table."""

PRESETS_WITH_USER = ("noip", "dyn", "ovh", "inwx", "dynu", "variomedia")
"""Those of them where the host name is not the user."""

UPDATE_ALGORITHMS = ("hmac-sha256", "hmac-sha512", "hmac-sha384", "hmac-sha224", "hmac-sha1", "hmac-md5")

User = Annotated[
    str,
    Limits(minLength=1, maxLength=253),
    Rule("!self.contains(':')", "has a colon, which no user name has: the password belongs in the Secret"),
]


class Strato(Struct, frozen=True, kw_only=True, rename="camel"):
    """Strato DynDNS."""

    user: Annotated[User | None, Doc("A domain of the package. Left out: each name is its own user.")] = None
    server: Annotated[ServerUrl | None, Doc("Another update URL than Strato's, for tests.")] = None


class Dyndns2(Struct, frozen=True, kw_only=True, rename="camel"):
    """A service that speaks dyndns2."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.preset) || has(self.server)",
            "write preset with a service that is known by name, or server with the update URL, "
            "like https://dyndns.example.org/nic/update",
        ),
        Rule(
            f"!has(self.preset) || !(self.preset in {list(PRESETS_WITH_USER)}) || has(self.user)",
            "this service needs user: write the user name of the account",
        ),
    )

    preset: Annotated[
        str | None,
        one_of(*PRESETS),
        Doc("A service that is known by name, with its URL and its habits. Left out: as Dyn documents the protocol."),
    ] = None
    server: Annotated[
        ServerUrl | None,
        Doc("Update URL, like https://dyndns.example.org/nic/update. With a preset only to replace its URL."),
    ] = None
    user: Annotated[
        User | None, Doc("User name of the account. Left out: each name is its own user, where the service allows it.")
    ] = None


class Gandi(Struct, frozen=True, kw_only=True, rename="camel"):
    """Gandi LiveDNS."""

    domain: Annotated[
        DomainName | None, Doc("The domain at Gandi that holds the names. Left out: it is found from each name.")
    ] = None
    authentication: Annotated[
        str,
        one_of("Bearer", "Apikey"),
        Doc("Bearer: the Secret holds a personal access token. Apikey: it holds an API key, which Gandi deprecates."),
    ] = "Bearer"
    server: Annotated[ServerUrl | None, Doc("Another API URL than Gandi's, for tests.")] = None


class Rfc2136(Struct, frozen=True, kw_only=True, rename="camel"):
    """A DNS server that takes dynamic updates (RFC 2136), signed with TSIG (RFC 8945)."""

    server: Annotated[
        ServerAddress, Doc('The primary server, like ns1.example.org, 192.0.2.1:53 or "[2001:db8::1]:53".')
    ]
    zone: Annotated[DomainName | None, Doc("The zone that holds the names. Left out: the server is asked for it.")] = (
        None
    )
    tsig_key_name: Annotated[KeyName, Doc("Name of the TSIG key, as the server knows it.")]
    tsig_algorithm: Annotated[
        str, one_of(*UPDATE_ALGORITHMS), Doc("Algorithm of the TSIG key. The Secret holds the key itself in Base64.")
    ] = "hmac-sha256"
    public: Annotated[
        bool, Doc("Whether the world reads this server: then only globally reachable addresses go there.")
    ] = True


class OwnZone(Struct, frozen=True, kw_only=True, rename="camel"):
    """The zones of the built-in DNS server."""


class RateLimit(Struct, frozen=True, kw_only=True, rename="camel"):
    """How often a provider is asked."""

    requests_per_minute: Annotated[
        int, Limits(minimum=1, maximum=10000, format="int32"), Doc("Requests in a minute, all Domains together.")
    ]


class _Common(Struct, frozen=True, kw_only=True, rename="camel"):
    """What both kinds say."""

    strato: Annotated[Strato | None, Doc("Strato DynDNS; strato: {} is enough. The Secret holds the password.")] = None
    dyndns2: Annotated[
        Dyndns2 | None, Doc("A service that speaks dyndns2, as most dynamic DNS services do. The Secret: the password.")
    ] = None
    gandi: Annotated[Gandi | None, Doc("Gandi LiveDNS; gandi: {} is enough. The Secret holds the token.")] = None
    rfc2136: Annotated[
        Rfc2136 | None, Doc("A DNS server such as Knot or BIND, by signed dynamic updates. The Secret holds the key.")
    ] = None
    timeout_seconds: Annotated[
        int, Limits(minimum=1, maximum=60, format="int32"), Doc("How long one look or one change may take.")
    ] = 20
    ca_bundle: Annotated[
        str | None,
        Limits(maxLength=65536),
        Rule(
            "self.contains('-----BEGIN CERTIFICATE-----')",
            "holds no certificate: write it in PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
        ),
        Doc(
            "Certificates of authorities in PEM that are trusted beside the system's, for a server with a private one."
        ),
    ] = None
    rate_limit: Annotated[
        RateLimit | None, Doc("How often the provider is asked at most. Left out: what its documentation allows.")
    ] = None


AllowedDomains = Annotated[tuple[DomainName, ...], UNIQUE, Limits(minItems=1, maxItems=256)]


class ProviderSpec(_Common, frozen=True, kw_only=True, rename="camel"):
    """What should be."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.strato), has(self.dyndns2), has(self.gandi), has(self.rfc2136)].exists_one(given, given)",
            "write exactly one of strato, dyndns2, gandi and rfc2136, for example gandi: {}",
        ),
    )

    secret_ref: Annotated[SecretKey, WHOLE, Doc("The Secret with the password, token or key.")]
    allowed_domains: Annotated[
        AllowedDomains | None,
        Doc("Domains of this namespace may publish these names and names below them here. Left out: any name."),
    ] = None


class ClusterProviderSpec(_Common, frozen=True, kw_only=True, rename="camel"):
    """What should be."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.strato), has(self.dyndns2), has(self.gandi), has(self.rfc2136), has(self.zone)]"
            ".exists_one(given, given)",
            "write exactly one of strato, dyndns2, gandi, rfc2136 and zone, for example zone: {}",
        ),
        Rule(
            "has(self.secretRef) || has(self.zone)",
            "secretRef is missing: write namespace and name of the Secret with the password, token or key",
        ),
        Rule("!has(self.secretRef) || !has(self.zone)", "zone needs no Secret: remove secretRef"),
    )

    zone: Annotated[
        OwnZone | None, Doc("The zones of the built-in DNS server (kind Zone); zone: {} is all there is to write.")
    ] = None
    secret_ref: Annotated[
        ClusterSecretKey | None,
        WHOLE,
        Doc("The Secret with the password, token or key; left out for zone only."),
    ] = None
    allowed_domains: Annotated[
        AllowedDomains, Doc("Domains may publish these names and names below them here, no others.")
    ]
    allowed_namespaces: Annotated[
        tuple[
            Annotated[
                str,
                Limits(minLength=1, maxLength=63),
                Rule(
                    "self == '*' || self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
                    'is not a namespace: write its name, or "*" for all namespaces',
                ),
            ],
            ...,
        ],
        UNIQUE,
        Limits(maxItems=256),
        Doc('Namespaces whose Domains may publish here; "*" for all. Left out: none.'),
    ] = ()


class LockoutStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """A pause that the provider asked for."""

    account: Annotated[str, Limits(maxLength=1024), Doc("The account that is paused, like www.example.org@SERVER.")]
    host: Annotated[str, Limits(maxLength=253), Doc("The host that is paused; empty when the whole account is.")]
    code: Annotated[str, Limits(maxLength=64), Doc("What the provider answered, like badauth or abuse.")]
    reason: Annotated[str, Limits(maxLength=1024), Doc("What that means, and what lifts the pause.")] = ""
    since: Annotated[Time | None, Doc("When the pause began.")] = None
    until: Annotated[Time | None, Doc("When the pause ends by itself. Absent: when a person changes something.")] = None
    fingerprint: Annotated[
        str, Limits(maxLength=128), Doc("Stands for the credentials that earned the pause; others lift it.")
    ] = ""


class ProviderStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is."""

    type: Annotated[str | None, Limits(maxLength=63), Doc("Which provider this is, like strato or gandi.")] = None
    domains: Annotated[int, Limits(minimum=0, format="int32"), Doc("How many Domains are published here.")] = 0
    lockouts: Annotated[
        tuple[LockoutStatus, ...],
        keyed("account", "host", "code"),
        Limits(maxItems=1000),
        Doc("Pauses that the provider asked for, of whole accounts and of single hosts."),
    ] = ()
    observed_generation: Annotated[
        int, Limits(minimum=0, format="int64"), Doc("The generation of the spec that this status is about.")
    ] = 0
    conditions: Annotated[
        Conditions,
        Doc("Ready: it can be used. Locked: the provider paused the whole account."),
    ] = ()


class Provider(Struct, frozen=True, kw_only=True, rename="camel"):
    """An account or a server that the Domains of one namespace publish their names at."""

    api_version: str = API_VERSION
    kind: str = "Provider"
    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[ProviderSpec, Doc("What should be.")]
    status: Annotated[ProviderStatus, Doc("What is, as Homing last saw it.")] = ProviderStatus()


class ClusterProvider(Struct, frozen=True, kw_only=True, rename="camel"):
    """An account or a server that Domains of several namespaces publish their names at."""

    api_version: str = API_VERSION
    kind: str = "ClusterProvider"
    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[ClusterProviderSpec, Doc("What should be.")]
    status: Annotated[ProviderStatus, Doc("What is, as Homing last saw it.")] = ProviderStatus()
