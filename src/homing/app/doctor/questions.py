"""DNS questions to any server, and the addresses of the system's resolver. Off the path of our own answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from homing.errors import ModelError
from homing.model.address import Address, parse_address
from homing.model.name import Name

if TYPE_CHECKING:
    import dns.rdata
    import dns.rrset

WAIT = 1.5
"""Seconds for each of two attempts."""

MAX_ADDRESSES = 4
"""Addresses of one name that are used."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: its code, whether it is authoritative, and its sections; ``why`` tells instead that there is none."""

    rcode: str = ""
    authoritative: bool = False
    answer: tuple[dns.rrset.RRset, ...] = ()
    authority: tuple[dns.rrset.RRset, ...] = ()
    additional: tuple[dns.rrset.RRset, ...] = ()
    why: str = ""

    def records(self, section: str, name: Name, rtype: str) -> tuple[str, ...]:
        """The records of one name and type in a section, in presentation form."""
        found: list[str] = []
        for item in cast("tuple[dns.rrset.RRset, ...]", getattr(self, section)):
            if item.name.to_text().rstrip(".").lower() == name.text.rstrip(".") and item.rdtype.name == rtype:
                found += [record.to_text() for record in cast("Iterable[dns.rdata.Rdata]", item)]
        return tuple(found)

    def addresses(self, section: str, name: Name) -> frozenset[Address]:
        """The A and AAAA records of a name in a section."""
        texts = (*self.records(section, name, "A"), *self.records(section, name, "AAAA"))
        return frozenset(parse_address(text) for text in texts[:MAX_ADDRESSES])


class Questions:
    """Asks servers. ``resolver`` is (address, port); all other servers are asked at ``port``."""

    def __init__(self, resolver: tuple[str, int], port: int = 53) -> None:
        self.resolver = resolver
        self._port = port

    async def resolve(self, name: Name, rtype: str) -> Said:
        """What the resolver says."""
        return await self._ask(self.resolver, name, rtype, recurse=True)

    async def ask(self, server: Address, name: Name, rtype: str) -> Said:
        """What this server says of its own knowledge."""
        return await self._ask((str(server), self._port), name, rtype, recurse=False)

    async def addresses(self, name: Name) -> frozenset[Address]:
        """The addresses that the resolver gives for a name; empty when it gives none, for whatever reason."""
        four, six = await asyncio.gather(self.resolve(name, "A"), self.resolve(name, "AAAA"))
        return frozenset(
            parse_address(text)
            for said, rtype in ((four, "A"), (six, "AAAA"))
            for item in said.answer
            if item.rdtype.name == rtype
            for text in sorted(record.to_text() for record in cast("Iterable[dns.rdata.Rdata]", item))[:MAX_ADDRESSES]
        )

    async def _ask(self, server: tuple[str, int], name: Name, rtype: str, *, recurse: bool) -> Said:
        import dns.asyncquery
        import dns.exception
        import dns.flags
        import dns.message
        import dns.name
        import dns.rcode

        query = dns.message.make_query(dns.name.Name((*name.labels, b"")), rtype, use_edns=0, payload=1232)
        if not recurse:
            query.flags &= ~dns.flags.RD
        why = "no answer"
        for _ in range(2):
            try:
                found, _ = await dns.asyncquery.udp_with_fallback(query, server[0], timeout=WAIT, port=server[1])
            except dns.exception.Timeout:
                continue
            except dns.exception.DNSException:
                why = "an answer that cannot be read"
                continue
            except (OSError, EOFError) as error:
                why = getattr(error, "strerror", "") or "no connection"
                continue
            return Said(
                dns.rcode.to_text(found.rcode()),
                bool(found.flags & dns.flags.AA),
                tuple(found.answer),
                tuple(found.authority),
                tuple(found.additional),
            )
        return Said(why=why)


def system_resolver(file: Path = Path("/etc/resolv.conf")) -> tuple[str, int] | None:
    """The first name server of resolv.conf(5); None when it names none."""
    with contextlib.suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1:
                with contextlib.suppress(ModelError):
                    return str(parse_address(words[1].partition("%")[0])), 53
    return None
