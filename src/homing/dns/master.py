r"""Master files (RFC 1035, section 5) into zones. Lines, owners, TTLs and types are read here; rdata by dnspython.

A mistake is a ConfigError with file, line and remedy. A file holds one zone, unsigned; the one that secondaries sign.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from homing.dns.message import read_name
from homing.errors import ConfigError, ModelError
from homing.model.name import Name, parse_name
from homing.model.rrset import FAMILIES, MAX_TTL, RRset, RRType, rrset, type_name
from homing.model.zone import Soa, Zone, zone

if TYPE_CHECKING:
    import dns.name

SUFFIX = ".zone"
"""Ends the name of a master file in a directory; what stands before it is the origin that the file begins with."""

MAX_FILE_SIZE = 256 * 2**20
"""Octets of a master file."""

MAX_RDATA = 64_000
"""Octets of a record's data: what fits into a message with question, owner, EDNS and a signature."""

_SIGNING = {46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM", 59: "CDS", 60: "CDNSKEY"}
_FIRST_META, _LAST_META, _OPT = 128, 255, 41
_SINGLE = (RRType.SOA, RRType.CNAME, RRType.DNAME)
_BEFORE_NAME = {RRType.NS: 0, RRType.CNAME: 0, RRType.DNAME: 0, 12: 0, 15: 1, 33: 3}
"""Types whose data is numbers of 16 bits and then a name: how many numbers; 12 is PTR, 15 MX, 33 SRV."""

_CLASSES = ("CH", "HS", "CS", "NONE", "ANY")

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f]+|;[^\n]*)|(?P<end>\n)|(?P<open>\()|(?P<close>\))"""
    r"""|(?P<quoted>"(?:[^"\\\n]|\\[^\n])*")|(?P<word>(?:[^\s;()"\\]|\\[^\n])+)"""
)
_TTL = re.compile(r"\d+(?:[smhdw]\d+)*[smhdw]?", re.IGNORECASE | re.ASCII)
"""One way to match each text, so that no word takes long."""

_TTL_PART = re.compile(r"(\d+)([smhdw]?)", re.IGNORECASE)
_TTL_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of some master files: the zones of the good ones, what is wrong with the others."""

    zones: dict[Path, Zone] = field(default_factory=dict[Path, Zone])
    errors: dict[Path, ConfigError] = field(default_factory=dict[Path, ConfigError])


def load_zones(paths: Iterable[Path]) -> Loaded:
    """Read master files, each for itself. A second file for a zone is an error of the second, in the order given."""
    loaded = Loaded()
    first: dict[Name, Path] = {}
    for path in paths:
        try:
            found = load_zone(path)
            other = first.setdefault(found.origin, path)
            if other != path:
                raise ConfigError(str(path), f"zone {found.origin} is in {other} too", "remove one of the two files")
            loaded.zones[path] = found
        except ConfigError as error:
            loaded.errors[path] = error
    return loaded


Pulse = Callable[[], None]
"""Called now and then while a file is read; what it raises ends the reading."""

PULSE = 1000
"""Entries of a file between two calls."""


def load_zone(path: Path, pulse: Pulse = lambda: None) -> Zone:
    """Read a master file. Raises ConfigError, and what ``pulse`` raises.

    The zone is that of the SOA. Names relative to no ``$ORIGIN`` are relative to the file's name without ``.zone``.
    """
    return _read(path, pulse).zone()


def line_of(path: Path, name: Name, rtype: int) -> int | None:
    """The line of a master file where an RRset begins, read again for that; None when it is not there any more."""
    try:
        return _read(path).line(name, rtype)
    except ConfigError:
        return None


def _read(path: Path, pulse: Pulse = lambda: None) -> _Reader:
    try:
        if path.stat().st_size > MAX_FILE_SIZE:
            raise ConfigError(str(path), f"larger than {MAX_FILE_SIZE} octets", "serve a zone so large elsewhere")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}", "check path and permissions") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            str(path), f"octet {error.start} is not UTF-8", "write octets outside ASCII as \\DDD (RFC 1035, 5.1)"
        ) from None
    origin: Name | None = None
    if path.name.endswith(SUFFIX) and path.name != SUFFIX:
        try:
            origin = parse_name(path.name.removesuffix(SUFFIX))
        except ModelError as error:
            raise ConfigError(str(path), f"the file is not named like a zone: {error}", "rename it") from None
    return _read_text(text, str(path), origin, pulse)


def read_zone(text: str, file: str, origin: Name | None = None) -> Zone:
    """The zone that a master file's text holds. ``file`` is named in errors; ``origin`` is what it begins with.

    Raises ConfigError.
    """
    return _read_text(text, file, origin).zone()


def read_rdata(text: str, rtype: str, origin: Name, where: str) -> tuple[int, bytes]:
    """Type and rdata of one record: its data as a master file has it, relative to ``origin``; ``where`` is for errors.

    Raises ConfigError.
    """
    reader = _Reader(where, origin)
    try:
        return reader.data(text, rtype)
    except ConfigError as error:
        raise ConfigError(where, error.problem, error.remedy) from None


def _read_text(text: str, file: str, origin: Name | None, pulse: Pulse = lambda: None) -> _Reader:
    reader = _Reader(file, origin)
    for number, (line, blank, words) in enumerate(_entries(text, file)):
        if number % PULSE == 0:
            pulse()
        reader.entry(line, blank, words)
    return reader


def _entries(text: str, file: str) -> Iterator[tuple[int, bool, list[str]]]:
    """Entries: the line where each begins, whether it begins with a blank, and its words; parentheses join lines."""
    line, first, depth, blank, position = 1, 1, 0, False, 0
    words: list[str] = []
    fresh = True
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            what = "a quotation mark" if text[position] == '"' else f"{text[position]!r}"
            raise ConfigError(
                f"{file}:{line}", f"{what} stands alone", "close it on the same line, or put \\ before it"
            )
        kind = match.lastgroup
        position = match.end()
        if fresh:
            first, blank, fresh = line, kind == "space" and match[0][0] != ";", False
        if kind in {"word", "quoted"}:
            words.append(match[0])
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
            if depth < 0:
                raise ConfigError(f"{file}:{line}", "a parenthesis is closed that was not opened", "remove it")
        elif kind == "end":
            line += 1
            if not depth:
                if words:
                    yield first, blank, words
                    words = []
                fresh = True
    if depth:
        raise ConfigError(f"{file}:{first}", "a parenthesis is not closed", "close it")
    if words:
        yield first, blank, words


class _Reader:
    """Gathers the records of one file."""

    def __init__(self, file: str, origin: Name | None) -> None:
        self._file = file
        self._line = 0
        self._origin = origin
        self._owner: Name | None = None
        self._default_ttl: int | None = None
        self._last_ttl: int | None = None
        self._soa: tuple[Name, int, bytes] | None = None
        self._found: dict[Name, dict[int, tuple[int, int, list[bytes]]]] = {}
        """Line, TTL and rdatas by name and type."""

    def entry(self, line: int, blank: bool, words: list[str]) -> None:
        """Take one entry."""
        self._line = line
        if not blank and words[0].startswith("$"):
            self._directive(words)
            return
        if not blank:
            self._owner = self._name(words.pop(0))
        if self._owner is None:
            self._fail("a record has no owner", "begin the line with a name")
        ttl, words = self._ttl_and_class(words)
        if not words:
            self._fail("a record has no type", "write: name, TTL, type, data")
        rtype = self._type(words[0])
        rdata = self._rdata(rtype, words[1:])
        if ttl is None:
            ttl = self._default_ttl if self._default_ttl is not None else self._last_ttl
        if len(rdata) > MAX_RDATA:
            self._fail(f"the data of a record is {len(rdata)} octets long", f"shorten it to {MAX_RDATA}")
        if ttl is None and rtype == RRType.SOA:
            ttl = min(int.from_bytes(rdata[-4:]), MAX_TTL)
        if ttl is None:
            self._fail("a record has no TTL", "put a line like $TTL 3600 at the top")
        self._last_ttl = ttl
        self._add(self._owner, rtype, ttl, rdata)

    def data(self, text: str, word: str) -> tuple[int, bytes]:
        """Type and rdata of a record whose data stands alone, so nothing in it may begin another one or be dropped."""
        rtype = self._type(word)
        if "\n" in text or any(found[0][:1] == ";" for found in _TOKEN.finditer(text) if found.lastgroup == "space"):
            self._fail("a semicolon or the end of a line stands outside quotation marks", "put quotation marks around")
        entries = list(_entries(text, self._file))
        rdata = self._rdata(rtype, entries[0][2] if entries else [])
        if len(rdata) > MAX_RDATA:
            self._fail(f"the data of a record is {len(rdata)} octets long", f"shorten it to {MAX_RDATA}")
        return rtype, rdata

    def line(self, name: Name, rtype: int) -> int | None:
        """The first line of an RRset."""
        found = self._found.get(name, {}).get(rtype)
        return found[0] if found is not None else None

    def zone(self) -> Zone:
        """The zone, when the file is read."""
        if self._soa is None:
            raise ConfigError(self._file, "there is no SOA record", "begin with the zone's SOA")
        origin, ttl, rdata = self._soa
        if RRType.NS not in self._found.get(origin, {}):
            raise ConfigError(self._file, f"zone {origin} has no NS record", "name its servers at its origin")
        rrsets: list[RRset] = []
        for name, types in self._found.items():
            for rtype, (line, its_ttl, rdatas) in types.items():
                if not name.is_within(origin):
                    self._line = line
                    self._fail(f"{name} is not in zone {origin}", "correct the name; another zone needs another file")
                if rtype != RRType.SOA:
                    rrsets.append(rrset(name, rtype, its_ttl, rdatas))
        return zone(origin, int.from_bytes(rdata[-20:-16]), _soa(rdata, ttl), rrsets)

    def _directive(self, words: list[str]) -> None:
        directive = words[0].upper()
        if directive == "$ORIGIN" and len(words) == 2:
            self._origin = self._name(words[1])
        elif directive == "$TTL" and len(words) == 2 and (ttl := self._ttl(words[1])) is not None:
            self._default_ttl = ttl
        elif directive in {"$ORIGIN", "$TTL"}:
            self._fail(f"{directive} needs one value", "like $TTL 3600 or $ORIGIN example.net.")
        elif directive == "$INCLUDE":
            self._fail("$INCLUDE is not followed", "put the other file's records here")
        else:
            self._fail(f"{words[0]} is not known", "write the records out")

    def _ttl_and_class(self, words: list[str]) -> tuple[int | None, list[str]]:
        """TTL and class stand before the type in either order, each may be left out."""
        ttl: int | None = None
        for index, word in enumerate(words[:3]):
            if ttl is None and (number := self._ttl(word)) is not None:
                ttl = number
            elif word.upper() in _CLASSES:
                self._fail(f"class {word} is not served", "write IN, or nothing")
            elif word.upper() not in {"IN", "CLASS1"}:
                return ttl, words[index:]
        return ttl, []

    def _ttl(self, word: str) -> int | None:
        if not _TTL.fullmatch(word):
            return None
        seconds = sum(int(number) * _TTL_UNITS[unit.lower()] for number, unit in _TTL_PART.findall(word[:40]))
        if seconds > MAX_TTL or len(word) > 40:
            self._fail(f"TTL {word[:40]} is too long", f"at most {MAX_TTL} seconds (RFC 2181, section 8)")
        return seconds

    def _type(self, word: str) -> int:
        rtype = _rtype(word.upper())
        if rtype is None:
            self._fail(f"{word[:40]!r} is no record type", "write unknown ones as TYPE65280 \\# 2 abcd (RFC 3597)")
        if rtype in _SIGNING:
            self._fail(
                f"{_SIGNING[rtype]} records make it a signed zone", "give the unsigned zone; sign at the secondary"
            )
        if _FIRST_META <= rtype <= _LAST_META or rtype in {0, _OPT}:
            self._fail(f"{word} is not a type of data", "remove the record")
        return rtype

    def _rdata(self, rtype: int, words: list[str]) -> bytes:
        """Rdata in wire form, its names absolute and uncompressed, case kept."""
        plain = self._plain_rdata(rtype, words)
        if plain is not None:
            return plain
        import dns.exception
        import dns.rdata
        import dns.rdataclass
        import dns.rdatatype

        if any(not word.isascii() and word[0] != '"' for word in words):
            self._fail("a character outside ASCII", "write names as xn--..., other octets as \\DDD")
        of_type = dns.rdatatype.RdataType.make(rtype)
        try:
            parsed = dns.rdata.from_text(
                dns.rdataclass.IN, of_type, " ".join(words), _dnspython_name(self._origin), relativize=False
            )
            return parsed.to_wire() or b""
        except (dns.exception.DNSException, ValueError, OverflowError) as error:
            what = str(error) or type(error).__name__
            self._fail(
                f"{dns.rdatatype.to_text(of_type)} record: {what}", "correct its data; a name may lack its final dot"
            )

    def _plain_rdata(self, rtype: int, words: list[str]) -> bytes | None:
        """The same for what most zones are made of, several times as fast; None where dnspython shall look."""
        if rtype in _BEFORE_NAME:
            *numbers, name = words or [""]
            if (
                name
                and name.isascii()
                and len(numbers) == _BEFORE_NAME[rtype]
                and all(_is_number(word, 0xFFFF) for word in numbers)
            ):
                return b"".join(int(word).to_bytes(2) for word in numbers) + self._name(name).wire
        elif rtype in FAMILIES:
            return _address(rtype, words[0]) if len(words) == 1 else None
        elif rtype == RRType.TXT:
            return _text(words)
        elif rtype == RRType.SOA and len(words) == 7 and all(_is_number(word, MAX_TTL) for word in words[2:]):
            names = self._name(words[0]).wire + self._name(words[1]).wire
            return names + struct.pack("!5I", *map(int, words[2:]))
        return None

    def _name(self, word: str) -> Name:
        if word == "@" and self._origin is not None:
            return self._origin
        try:
            if word[0] == '"':
                raise ModelError(f"{word[:80]} is quoted, a name is not")
            if word.endswith(".") and (len(word) - 1 - len(word[:-1].rstrip("\\"))) % 2 == 0:
                return parse_name(word)
            if self._origin is not None:
                return Name((*parse_name(word).labels, *self._origin.labels))
        except ModelError as error:
            self._fail(str(error), "correct the name")
        remedy = f"begin with $ORIGIN, or name the file after its zone, ending in {SUFFIX}"
        return self._fail(f"{word!r} is relative to nothing", remedy)

    def _add(self, name: Name, rtype: int, ttl: int, rdata: bytes) -> None:
        types = self._found.setdefault(name, {})
        line, least, rdatas = types.setdefault(rtype, (self._line, ttl, []))
        types[rtype] = (line, min(least, ttl), rdatas)  # one RRset has one TTL (RFC 2181, section 5.2)
        if rtype in _SINGLE and rdatas and rdata not in rdatas:
            self._fail(f"{name} has a second {type_name(rtype)}", f"leave one; the other is in line {line}")
        if RRType.CNAME in types and len(types) > 1:
            others = min(found[0] for other, found in types.items() if other != rtype)
            self._fail(
                f"{name} has a CNAME beside other records",
                f"a CNAME must stand alone (RFC 1034, section 3.6.2); see line {others}",
            )
        if rtype == RRType.SOA:
            if self._soa is not None and self._soa[0] != name:
                self._fail(f"a second SOA, of {name}", f"one file holds one zone, here {self._soa[0]}")
            self._soa = (name, ttl, rdata)
        rdatas.append(rdata)

    def _fail(self, problem: str, remedy: str) -> NoReturn:
        raise ConfigError(f"{self._file}:{self._line}", problem, remedy)


def _is_number(word: str, limit: int) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 10 and int(word) <= limit


def _address(rtype: int, word: str) -> bytes | None:
    try:
        address = (IPv4Address if rtype == RRType.A else IPv6Address)(word)
    except ValueError:
        return None
    return address.packed if "%" not in word else None


def _text(words: list[str]) -> bytes | None:
    """Character strings without escapes (RFC 1035, section 3.3.14)."""
    strings = [word[1:-1] if word[0] == '"' else word for word in words]
    if not strings or any(not text.isascii() or "\\" in text or len(text) > 255 for text in strings):
        return None
    return b"".join(bytes((len(text),)) + text.encode() for text in strings)


def _soa(rdata: bytes, ttl: int) -> Soa:
    mname, end = read_name(rdata, 0)
    rname, end = read_name(rdata, end)
    _, refresh, retry, expire, minimum = struct.unpack("!5I", rdata[end:])
    return Soa(mname, rname, refresh, retry, expire, minimum, ttl)


@lru_cache(maxsize=1024)
def _rtype(word: str) -> int | None:
    import dns.rdatatype

    try:
        return int(dns.rdatatype.from_text(word))
    except (dns.rdatatype.UnknownRdatatype, ValueError):
        return None


@lru_cache(maxsize=16)
def _dnspython_name(name: Name | None) -> dns.name.Name | None:
    import dns.name

    return dns.name.Name((*name.labels, b"")) if name is not None else None
