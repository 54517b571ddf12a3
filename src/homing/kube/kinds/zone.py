"""Zone: a zone of the built-in DNS server, with its static records and its secondaries."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Struct, field

from homing.kube.kinds.common import API_VERSION, ClusterSecretKey, Conditions, DomainName, IpAddress, KeyName
from homing.kube.kinds.health import HealthCheck
from homing.kube.objects import ObjectMeta
from homing.kube.schema import UNIQUE, WHOLE, Doc, Limits, Rule, keyed, one_of

TRANSFER_ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")

SIGNING_TYPES = ("RRSIG", "NSEC", "DNSKEY", "NSEC3", "NSEC3PARAM", "CDS", "CDNSKEY")

_OWNER = "[a-z0-9_]([a-z0-9_/-]{0,61}[a-z0-9_])?"

Seconds = Annotated[int, Limits(minimum=1, maximum=604800, format="int32")]

MAX_UNHEALTHY = 100
"""Addresses that fail their check which a status names."""

TSIG_KEY = "The TSIG key that both sides sign with: the name of one of tsigKeys. Left out: unsigned."


class Soa(Struct, frozen=True, kw_only=True, rename="camel"):
    """The SOA record (RFC 1035, section 3.3.13)."""

    primary: Annotated[DomainName | None, Doc("Name of the primary server. Left out: the first of nameServers.")] = None
    email: Annotated[
        str | None,
        Limits(minLength=1, maxLength=253),
        Rule(
            "self.matches('^[A-Za-z0-9_+.-]+(@[A-Za-z0-9.-]+)?$') && !self.endsWith('.')",
            "is not an e-mail address: write it like hostmaster@example.org",
        ),
        Doc("E-mail address of the person responsible. Left out: hostmaster at the zone."),
    ] = None
    refresh_seconds: Annotated[Seconds, Doc("How often a secondary looks for a new version by itself.")] = 3600
    retry_seconds: Annotated[Seconds, Doc("How soon it looks again when that failed.")] = 900
    expire_seconds: Annotated[Seconds, Doc("How long it serves the zone without reaching the primary.")] = 86400
    negative_ttl_seconds: Annotated[Seconds, Doc("How long resolvers may keep it that a name does not exist.")] = field(
        default=30, name="negativeTTLSeconds"
    )


class NameServer(Struct, frozen=True, kw_only=True, rename="camel"):
    """A server of the zone."""

    name: Annotated[DomainName, Doc("Its full name, like ns1.example.org.")]
    addresses: Annotated[
        tuple[IpAddress, ...],
        UNIQUE,
        Limits(maxItems=16),
        Doc("Its addresses (glue). When its name is in the zone: these, or those of a Domain or of records."),
    ] = ()


class Record(Struct, frozen=True, kw_only=True, rename="camel"):
    """An RRset that follows nothing."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule("self.type != 'SOA'", "the SOA record comes from origin, soa and nameServers: remove it here"),
        Rule(
            "self.type != 'NS' || self.name != '@'",
            "the zone's own NS records come from nameServers: remove them here; NS below it delegates a name",
        ),
        Rule(
            f"!(self.type in {list(SIGNING_TYPES)})",
            "the zone is given unsigned: remove the DNSSEC records, and let a secondary sign it",
        ),
        Rule(
            "!(self.type in ['ANY', 'AXFR', 'IXFR', 'OPT', 'TSIG', 'TKEY', 'MAILA', 'MAILB'])",
            "this type exists in questions only: write a type of data, like A, AAAA, CNAME, TXT, MX or SRV",
        ),
        Rule(
            "!(self.type in ['CNAME', 'DNAME']) || self.values.size() == 1",
            "an alias has one target: write one value",
        ),
        Rule(
            "!(self.type in ['A', 'AAAA']) || self.values.all(v, isIP(v))",
            "values of A and AAAA are addresses: write them like 192.0.2.1 or 2001:db8::1",
        ),
        Rule(
            "!(self.type in ['A', 'AAAA']) || self.values.all(v, v.contains(':') == (self.type == 'AAAA'))",
            "A holds IPv4 and AAAA holds IPv6: write the others under the other type",
        ),
    )

    name: Annotated[
        str,
        Limits(minLength=1, maxLength=253),
        Rule(
            f"self.matches('^(@|[*]|([*][.])?({_OWNER}[.])*{_OWNER})$')",
            'is not a name in the zone: write it in lower case relative to the origin, like www, or "@" for the '
            "origin itself, without a final dot",
        ),
        Doc('Name relative to the origin, in lower case, like www or *.apps; "@" is the origin itself.'),
    ]
    type: Annotated[
        str,
        Limits(minLength=1, maxLength=16),
        Rule(
            "self.matches('^[A-Z][A-Z0-9-]*$')",
            "is not a record type: write it in capitals, like A, AAAA, CNAME, TXT, MX, SRV, CAA, PTR or TYPE65280",
        ),
        Doc("Type of record, like A, AAAA, CNAME, TXT, MX, SRV, CAA, NS, PTR or DS; others as TYPE65280 (RFC 3597)."),
    ]
    ttl_seconds: Annotated[
        int | None,
        Limits(minimum=0, maximum=604800, format="int32"),
        Doc("How long resolvers may keep it. Left out: the ttlSeconds of the zone."),
    ] = None
    values: Annotated[
        tuple[Annotated[str, Limits(minLength=1, maxLength=1024)], ...],
        Limits(minItems=1, maxItems=32),
        Doc(
            'The data of each record as in a zone file, like 192.0.2.1, "10 mail.example.org." or "\\"v=spf1 -all\\"". '
            "Names without a final dot are relative to the origin."
        ),
    ]


class TsigKey(Struct, frozen=True, kw_only=True, rename="camel"):
    """A key shared with secondaries (RFC 8945)."""

    name: Annotated[KeyName, Doc("Name of the key, the same on both sides.")]
    algorithm: Annotated[str, one_of(*TRANSFER_ALGORITHMS), Doc("Algorithm of the key.")] = "hmac-sha256"
    secret_ref: Annotated[ClusterSecretKey, WHOLE, Doc("The Secret that holds the key in Base64.")]


class ZoneSecondary(Struct, frozen=True, kw_only=True, rename="camel"):
    """A server that follows the zone."""

    address: Annotated[IpAddress, Doc("Its address. It is notified of changes there, and may transfer from it.")]
    port: Annotated[int, Limits(minimum=1, maximum=65535, format="int32"), Doc("Where it takes NOTIFY.")] = 53
    tsig_key_name: Annotated[KeyName | None, Doc(TSIG_KEY)] = None


class Transfer(Struct, frozen=True, kw_only=True, rename="camel"):
    """Who may transfer the zone without being notified."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.network) || has(self.tsigKeyName)",
            "write network, like 192.0.2.0/24, or tsigKeyName, or both for clients that must satisfy both",
        ),
    )

    network: Annotated[
        str | None,
        Limits(maxLength=49),
        Rule("isIP(self) || isCIDR(self)", "is not a network: write it like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"),
        Doc("Clients from this address or network."),
    ] = None
    tsig_key_name: Annotated[KeyName | None, Doc("Clients that sign with this key: the name of one of tsigKeys.")] = (
        None
    )


AnnotationKey = Annotated[
    str,
    Limits(minLength=1, maxLength=317),
    Rule(
        "self.matches('^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$')",
        "is not the key of an annotation: write it like example.org/node-areas",
    ),
]


class ClusterNames(Struct, frozen=True, kw_only=True, rename="camel"):
    """Names of the cluster's nodes and Services in a zone."""

    areas_annotation: Annotated[
        AnnotationKey,
        Doc("Annotation of nodes with the areas they are in, by comma; AREA.ZONE has the addresses of those ready."),
    ] = "k8s.pootis.network/node-areas"
    ips_annotation: Annotated[
        AnnotationKey,
        Doc("Annotation of nodes with their addresses, by comma; auto stands for those of the node's Site."),
    ] = field(default="k8s.pootis.network/node-ips", name="ipsAnnotation")
    service_annotation: Annotated[
        AnnotationKey, Doc('Annotation of Services that is "true" for those that get the name SERVICE.NAMESPACE.ZONE.')
    ] = "k8s.pootis.network/dns"
    default_ips: Annotated[
        str,
        one_of("None", "Auto"),
        Doc("Addresses of nodes without that annotation: None, or Auto: those of its Site, else its ExternalIP."),
    ] = field(default="None", name="defaultIPs")
    host_names: Annotated[
        str | None,
        one_of("Keep", "Drop"),
        Doc(
            "NODE.nodes.ZONE has a node's addresses; when it is not ready Keep leaves them and Drop does not. "
            "Left out: no such names."
        ),
    ] = None
    srv_records: Annotated[
        bool, Doc("true makes an SRV record _PORT._PROTOCOL.SERVICE.NAMESPACE.ZONE for each named port of a Service.")
    ] = False
    leave_out_cordoned: Annotated[bool, Doc("true leaves cordoned and drained nodes out of areas and Services.")] = (
        False
    )
    wildcards: Annotated[bool, Doc("true answers every name below an area or Service like the name itself.")] = False
    ttl_seconds: Annotated[Seconds, Doc("How long resolvers may keep these names.")] = 30
    health_check: Annotated[
        HealthCheck | None,
        Doc(
            "How the server that leads checks the addresses of nodes; one that fails is left out while others of its "
            "name pass. Left out: not at all."
        ),
    ] = None


class ZoneSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    """What should be."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.secondaries) || self.secondaries.all(s, !has(s.tsigKeyName) || "
            "has(self.tsigKeys) && self.tsigKeys.exists(k, k.name == s.tsigKeyName))",
            "secondaries name a TSIG key that tsigKeys does not have: add it there, or correct tsigKeyName",
        ),
        Rule(
            "!has(self.transfers) || self.transfers.all(t, !has(t.tsigKeyName) || "
            "has(self.tsigKeys) && self.tsigKeys.exists(k, k.name == t.tsigKeyName))",
            "transfers name a TSIG key that tsigKeys does not have: add it there, or correct tsigKeyName",
        ),
    )

    origin: Annotated[
        DomainName,
        Rule("self == oldSelf", "cannot change: create another Zone, move what follows this one, then delete this"),
        Doc("The zone's name, like example.org. It cannot change."),
    ]
    soa: Annotated[Soa, Doc("What the SOA record says. Left out: all defaults.")] = Soa()
    ttl_seconds: Annotated[Seconds, Doc("How long resolvers may keep records that give no time of their own.")] = 300
    name_servers: Annotated[
        tuple[NameServer, ...],
        keyed("name"),
        Limits(minItems=1, maxItems=13),
        Doc("The servers of the zone, as its NS records name them; the first is the primary."),
    ]
    records: Annotated[
        tuple[Record, ...],
        keyed("name", "type"),
        Limits(maxItems=500),
        Doc("Records that follow nothing. Domains whose provider is zone add theirs."),
    ] = ()
    cluster: Annotated[
        ClusterNames | None,
        Doc("Names of the cluster's nodes and Services. Records above and Domains stand before them. Left out: none."),
    ] = None
    tsig_keys: Annotated[
        tuple[TsigKey, ...],
        keyed("name"),
        Limits(maxItems=16),
        Doc("Keys that secondaries and transfers refer to by name."),
    ] = ()
    secondaries: Annotated[
        tuple[ZoneSecondary, ...],
        keyed("address", "port"),
        Limits(maxItems=32),
        Doc("Servers that follow the zone: they are notified of each change and may transfer it."),
    ] = ()
    transfers: Annotated[
        tuple[Transfer, ...], Limits(maxItems=32), Doc("Who else may transfer the zone. Left out: nobody.")
    ] = ()
    catalog: Annotated[
        bool, Doc("true lists the zone in the catalog zone (RFC 9432) from which secondaries learn their zones.")
    ] = False


class SecondaryStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a secondary is."""

    address: Annotated[str, Limits(maxLength=45), Doc("Its address.")]
    port: Annotated[int, Limits(minimum=1, maximum=65535, format="int32"), Doc("Its port.")]
    serial: Annotated[
        int | None,
        Limits(minimum=0, maximum=4294967295, format="int64"),
        Doc("The version it serves, as far as known."),
    ] = None
    lag_seconds: Annotated[
        int, Limits(minimum=0, format="int64"), Doc("How long it has been behind; 0 when it has the newest version.")
    ] = 0


class ZoneStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is."""

    serial: Annotated[
        int | None, Limits(minimum=0, maximum=4294967295, format="int64"), Doc("The version that is served.")
    ] = None
    records: Annotated[int, Limits(minimum=0, format="int32"), Doc("How many records it has.")] = 0
    secondaries: Annotated[
        tuple[SecondaryStatus, ...], keyed("address", "port"), Limits(maxItems=32), Doc("How far each secondary is.")
    ] = ()
    unhealthy_addresses: Annotated[
        tuple[Annotated[str, Limits(maxLength=45)], ...],
        UNIQUE,
        Limits(maxItems=MAX_UNHEALTHY),
        Doc("Addresses of nodes that fail their check, or failed too often of late. The next leader begins with them."),
    ] = ()
    observed_generation: Annotated[
        int, Limits(minimum=0, format="int64"), Doc("The generation of the spec that this status is about.")
    ] = 0
    conditions: Annotated[
        Conditions,
        Doc(
            "Ready: the zone is served as its spec says. AddressesHealthy, where there is a healthCheck: all addresses "
            "pass it."
        ),
    ] = ()


class Zone(Struct, frozen=True, kw_only=True, rename="camel"):
    """A zone of the built-in DNS server: its SOA, its servers, its static records, its secondaries."""

    api_version: str = API_VERSION
    kind: str = "Zone"
    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[ZoneSpec, Doc("What should be.")]
    status: Annotated[ZoneStatus, Doc("What is, as the DNS leader last saw it.")] = ZoneStatus()
