"""What the world needs to find an own zone, judged: the parent's delegation, glue, servers, resolvers. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from homing.app.doctor.finding import Finding, Level, many
from homing.model.address import Address, Reach, reach_of
from homing.model.name import Name, parse_name
from homing.model.zone import serial_gt

Addresses = Mapping[Name, frozenset[Address]]

_SPECIAL = tuple(
    parse_name(text)
    for text in (
        *("home.arpa", "local", "localhost", "invalid", "test", "onion", "alt", "internal"),
        *("10.in-addr.arpa", "168.192.in-addr.arpa", "254.169.in-addr.arpa", "d.f.ip6.arpa"),
        *(f"{number}.172.in-addr.arpa" for number in range(16, 32)),
        *(f"{digit}.e.f.ip6.arpa" for digit in "89ab"),
    )
)
"""Names that nobody delegates (RFC 6761, 6303, 8375; .internal by ICANN)."""


def special(origin: Name) -> Name | None:
    """The special-use name that a zone lies in, if it does: it has no delegation, and needs none."""
    return next((name for name in _SPECIAL if origin.is_within(name)), None)


@dataclass(frozen=True, slots=True)
class Own:
    """The zone as we serve it: NS, addresses of those within it, serial (None: not known).

    ``signed`` tells whether the world gets it signed, by us or by a secondary that signs; None: not known.
    """

    origin: Name
    ns: frozenset[Name]
    addresses: Addresses = field(default_factory=dict[Name, frozenset[Address]])
    serial: int | None = None
    signed: bool | None = None


@dataclass(frozen=True, slots=True)
class Referral:
    """What the parent says: delegated with ``ns``, or not (empty); ``why`` tells that it could not be asked.

    ``glue`` is None where the parent's server serves the zone itself, and so tells no glue. ``ds`` says that the parent
    promises signatures.
    """

    parent: Name | None = None
    ns: frozenset[Name] = frozenset()
    glue: Addresses | None = None
    ds: bool = False
    why: str = ""


class Server(enum.Enum):
    """How a delegated server answers for the zone."""

    GOOD = "answers"
    LAME = "does not have the zone"
    SILENT = "does not answer"
    UNSEEN = "has our own WAN address, which cannot be judged from inside"


@dataclass(frozen=True, slots=True)
class Outside:
    """What a resolver that is not us gets for the zone's SOA: a code and a serial, or why nothing is known."""

    rcode: str = ""
    serial: int | None = None
    why: str = ""


def judge(
    own: Own, referral: Referral, servers: Mapping[str, Server], outside: Outside, wan: frozenset[Address]
) -> Iterator[Finding]:
    """``servers`` are by ``NAME (ADDRESS)``, ``wan`` the addresses agreed on."""
    check = f"zone {own.origin.text}"
    if referral.why:
        yield Finding(check, Level.SKIPPED, f"delegation not known: {referral.why}")
    elif not referral.ns:
        yield _absent(check, own, referral)
        return
    else:
        yield from _delegation(check, own, referral)
        yield from _glue(check, own, referral, wan)
        yield from _servers(check, servers)
    yield _outside(check, own, referral, outside)


def _absent(check: str, own: Own, referral: Referral) -> Finding:
    parent = referral.parent.text if referral.parent and not referral.parent.is_root else "the root"
    records = ", ".join(f"{own.origin.text}. NS {name.text}." for name in sorted(own.ns))
    return Finding(
        check,
        Level.WARNING,
        f"the world does not know it: {parent} does not delegate it",
        f"have the registrar (or whoever runs {parent}) add {records or 'its NS records'}; a zone for the home alone "
        "needs none, and is best named home.arpa (RFC 8375)",
    )


def _delegation(check: str, own: Own, referral: Referral) -> Iterator[Finding]:
    extra, missing = referral.ns - own.ns, own.ns - referral.ns
    if not own.ns or not (extra or missing):
        yield Finding(check, Level.OK, f"delegated to {_names(referral.ns)}" + (", as the zone says" if own.ns else ""))
    else:
        told = [f"only the parent names {_names(extra)}"] if extra else []
        told += [f"only the zone names {_names(missing)}"] if missing else []
        yield Finding(
            check,
            Level.WARNING,
            f"parent and zone disagree on its servers: {' and '.join(told)}",
            f'make them the same: at the registrar, or ns = [...] of [zones."{own.origin.text}"]',
        )
    if referral.ds and own.signed is False:
        yield Finding(
            check,
            Level.ERROR,
            "the parent holds a DS record, and the zone is not signed: validating resolvers refuse it",
            "have the registrar remove the DS record (turn DNSSEC off for the domain)",
        )


def _glue(check: str, own: Own, referral: Referral, wan: frozenset[Address]) -> Iterator[Finding]:
    if referral.glue is None:
        return
    families = {address.version for address in wan}
    for name in sorted(name for name in referral.ns if name.is_within(own.origin)):
        glue, served = referral.glue.get(name, frozenset[Address]()), own.addresses.get(name, frozenset[Address]())
        known = served | wan
        change = f"at the registrar, set the address of {name.text} to {_listed(wan or served) or 'the WAN address'}"
        if not glue:
            yield Finding(check, Level.ERROR, f"{name.text} has no glue: nobody can find the server's address", change)
        elif known and {address.version for address in glue} & families and not glue & known:
            text = f"glue of {name.text} is {_listed(glue)}, which is neither the WAN address nor what the zone says"
            yield Finding(check, Level.ERROR, text, f"{change}; a changing address wants a secondary with a fixed one")
        if served and not any(reach_of(one) is Reach.GLOBAL or one in glue or one in wan for one in served):
            text = f"the zone says that {name.text} is at {_listed(served)}, where the world cannot reach it"
            remedy = f'follow the WAN address: [[names]] fqdn = "{name.text}", source = "wan", provider = "zone"'
            yield Finding(check, Level.WARNING, text, remedy)


def _servers(check: str, servers: Mapping[str, Server]) -> Iterator[Finding]:
    by_kind = {kind: [name for name, found in servers.items() if found is kind] for kind in Server}
    if by_kind[Server.LAME]:
        text = f"lame: {many(by_kind[Server.LAME])} {Server.LAME.value}"
        yield Finding(check, Level.ERROR, text, "set the zone up there, or take the server out of the delegation")
    if by_kind[Server.SILENT]:
        text = f"{many(by_kind[Server.SILENT])} {Server.SILENT.value}"
        yield Finding(check, Level.WARNING, text, "check that it runs, and that UDP and TCP 53 reach it")
    if by_kind[Server.GOOD] and not by_kind[Server.LAME] + by_kind[Server.SILENT]:
        text = f"{many(by_kind[Server.GOOD])} answer{'s' if len(by_kind[Server.GOOD]) == 1 else ''} with authority"
        yield Finding(check, Level.OK, text)


_FORWARD = "forward UDP and TCP 53 of the router to this machine, and let the firewall and the provider pass them"


def _outside(check: str, own: Own, referral: Referral, outside: Outside) -> Finding:
    if outside.why:
        return Finding(check, Level.SKIPPED, f"reachability from outside not known: {outside.why}")
    if outside.rcode == "SERVFAIL":
        text = "resolvers get SERVFAIL: the delegation is there, and no server behind it answers as it should"
        return Finding(check, Level.ERROR, text, _FORWARD)
    if outside.rcode == "NXDOMAIN":
        waiting = "" if referral.why else ", though the parent delegates it: it may remember an earlier answer"
        text = f"resolvers say that there is no such name (NXDOMAIN){waiting}"
        return Finding(check, Level.WARNING, text, "wait an hour, then look at the registrar's NS records again")
    if outside.serial is None:
        text = f"resolvers get {outside.rcode or 'an answer'} without the zone's SOA"
        return Finding(check, Level.WARNING, text, "see what they get: dig SOA " + own.origin.text)
    if own.serial is None:
        return Finding(check, Level.OK, f"resolvers get it, serial {outside.serial}")
    if outside.serial == own.serial:
        return Finding(check, Level.OK, f"resolvers get it with our serial {own.serial}")
    if serial_gt(own.serial, outside.serial):
        text = f"resolvers get it with serial {outside.serial}, ours is {own.serial}: they may remember it for its TTL"
        return Finding(check, Level.NOTE, text)
    text = f"resolvers get it with serial {outside.serial}, newer than {own.serial} on this disk"
    return Finding(check, Level.NOTE, f"{text}: another server may be the primary")


def _names(names: frozenset[Name]) -> str:
    return ", ".join(name.text for name in sorted(names)[:6])


def _listed(addresses: frozenset[Address]) -> str:
    return ", ".join(sorted(map(str, addresses))[:6])
