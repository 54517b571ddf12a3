"""From the spec of a Zone to what is served, who may follow it, and back to its status. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

from homing.dns.master import read_rdata
from homing.dns.transfers.follow import Standing
from homing.dns.transfers.policy import ZonePolicy
from homing.dns.transfers.secondary import Secondary
from homing.dns.transfers.transfer import Rule
from homing.dns.transfers.tsig import Key
from homing.errors import ConfigError, ModelError
from homing.kube.kinds.zone import Record, Zone, ZoneSpec
from homing.model.address import parse_address
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, rrset
from homing.model.zone import Soa
from homing.model.zone import Zone as Served
from homing.model.zone import zone as build_zone
from homing.operator.entry import Unready
from homing.providers.zone_template import ZoneTemplate, zone_template

KeyPlace = tuple[str, str, str]
"""Namespace, name and key of a Secret."""

DEFAULT_KEY = "key"
"""The key of a Secret that a TSIG key is in where the reference names none."""


def origin_of(spec: ZoneSpec) -> Name:
    """The name of the zone. Raises Unready."""
    try:
        return parse_name(spec.origin)
    except ModelError as error:
        raise Unready("InvalidSpec", f"origin: {error}") from None


def template_of(spec: ZoneSpec) -> ZoneTemplate:
    """All that a Zone says but what follows addresses. Raises Unready that names the record, and what to write."""
    origin = origin_of(spec)
    try:
        servers = {parse_name(one.name): [parse_address(text) for text in one.addresses] for one in spec.name_servers}
        made = zone_template(origin, servers, _mailbox(spec, origin), ttl=spec.ttl_seconds, soa=_soa(spec, origin))
        if spec.soa.primary is not None:
            made = replace(made, soa=replace(made.soa, mname=parse_name(spec.soa.primary)))
        made = replace(made, static=(*made.static, *(_rrset(item, origin, spec.ttl_seconds) for item in spec.records)))
        build_zone(origin, 0, made.soa, made.static)
    except ModelError as error:
        raise Unready("InvalidRecords", str(error)) from None
    except ConfigError as error:
        raise Unready("InvalidRecords", str(error)) from None
    return made


def key_places(spec: ZoneSpec) -> tuple[KeyPlace, ...]:
    """Where the TSIG keys of a Zone are, in the order of its list."""
    refs = (item.secret_ref for item in spec.tsig_keys)
    return tuple((ref.namespace, ref.name, ref.key or DEFAULT_KEY) for ref in refs)


@dataclass(frozen=True, slots=True)
class Follow:
    """Who follows a zone and who may transfer it, as far as the keys are known; ``problem`` says what is missing."""

    policy: ZonePolicy | None = None
    """None: the Zone says nothing of it, so what holds for all zones does."""
    keys: tuple[Key, ...] = ()
    problem: Unready | None = None


def follow_of(spec: ZoneSpec, read: Callable[[int], Key]) -> Follow:
    """The secondaries and rules of a Zone; ``read`` gives a key by its place in the list, or raises Unready.

    Whoever needs a key that is not known is left out: nothing is sent unsigned in its stead.
    """
    known: dict[str, Key] = {}
    problem: Unready | None = None
    for index, item in enumerate(spec.tsig_keys):
        try:
            known[item.name] = read(index)
        except Unready as error:
            problem = problem or error
    if not spec.secondaries and not spec.transfers:
        return Follow(None, tuple(known.values()), problem)
    try:
        return Follow(_policy(spec, known), tuple(known.values()), problem)
    except ValueError as error:
        raise Unready("InvalidSpec", str(error)) from None


def _policy(spec: ZoneSpec, known: Mapping[str, Key]) -> ZonePolicy:
    secondaries = tuple(
        Secondary(str(parse_address(item.address)), item.port, known.get(item.tsig_key_name or ""))
        for item in spec.secondaries
        if item.tsig_key_name is None or item.tsig_key_name in known
    )
    others = tuple(
        Rule(
            () if item.network is None else (ip_network(item.network, strict=False),),
            known[item.tsig_key_name].name if item.tsig_key_name is not None else None,
        )
        for item in spec.transfers
        if item.tsig_key_name is None or item.tsig_key_name in known
    )
    return ZonePolicy(secondaries, others)


def status_of(
    found: Zone, served: Served | None, standings: Iterable[Standing], conditions: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """The status of a Zone; ``standings`` are those of its secondaries."""
    return {
        "serial": served.serial if served is not None else None,
        "records": served.records if served is not None else 0,
        "secondaries": [
            {
                "address": item.secondary.host,
                "port": item.secondary.port,
                "serial": item.serial,
                "lagSeconds": shown_lag(item.lag),
            }
            for item in standings
        ],
        "observedGeneration": found.metadata.generation,
        "conditions": list(conditions),
    }


def shown_lag(seconds: float) -> int:
    """A lag as the status tells it: rounded down to a power of two, so that one that grows is seldom written."""
    whole = int(seconds)
    return 1 << whole.bit_length() - 1 if whole else int(seconds > 0)


def _rrset(item: Record, origin: Name, ttl: int) -> RRset:
    where = f"record {item.name} {item.type}"
    name = origin if item.name == "@" else Name((*parse_name(item.name).labels, *origin.labels))
    read = [read_rdata(value, item.type, origin, f"{where}, value {value[:80]!r}") for value in item.values]
    rdatas = [rdata for _, rdata in read]
    return rrset(name, read[0][0], item.ttl_seconds if item.ttl_seconds is not None else ttl, rdatas)


def _mailbox(spec: ZoneSpec, origin: Name) -> Name:
    local, at, domain = (spec.soa.email or "").partition("@")
    if at:
        return parse_name(domain).prefixed(local)
    return parse_name(local) if local else origin.prefixed("hostmaster")


def _soa(spec: ZoneSpec, origin: Name) -> Soa:
    soa = spec.soa
    times = (soa.refresh_seconds, soa.retry_seconds, soa.expire_seconds, soa.negative_ttl_seconds)
    return Soa(origin, origin, *times, spec.ttl_seconds)
