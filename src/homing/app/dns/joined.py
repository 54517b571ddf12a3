"""A zone of ``homing up`` that begins with a master file: its records stay, names that follow addresses come beside."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from homing.dns.master import line_of, load_zone
from homing.errors import ConfigError
from homing.model.address import Family
from homing.model.name import Name
from homing.model.rrset import ADDRESS_TYPES, RRType, type_name
from homing.model.zone import Zone


@dataclass(frozen=True, slots=True)
class Joined:
    """A master file and what it holds."""

    path: Path
    zone: Zone

    def at(self, name: Name, rtype: int) -> str:
        """Where the file has an RRset, for people; read again to tell the line."""
        line = line_of(self.path, name, rtype)
        return f"{self.path}:{line}" if line is not None else str(self.path)


_read: dict[Path, tuple[tuple[int, ...], Zone]] = {}
"""The last content of each file: a configuration is looked at several times, a large file is read once."""


def read_joined(path: Path, origin: Name, where: str) -> Joined:
    """The master file of a zone. Raises ConfigError: the file is wrong, or of another zone."""
    try:
        status = os.stat(path)  # noqa: PTH116 - the result's fields are wanted, whatever the kind of path
    except OSError as error:
        raise ConfigError(where, f"cannot read {path}: {error.strerror}", "name a master file") from None
    stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    known = _read.get(path)
    if known is None or known[0] != stamp:
        known = (stamp, load_zone(path))
        _read[path] = known
    if known[1].origin != origin:
        raise ConfigError(where, f"{path} holds zone {known[1].origin}", f"name the file of zone {origin}")
    return Joined(path, known[1])


def refuse_conflicts(joined: Joined, name: Name, families: Iterable[Family], where: str) -> None:
    """Raises ConfigError, naming both places, when the file has what a name that follows addresses cannot be beside.

    The same name and type, a CNAME at the name (RFC 1034, section 3.6.2), a delegation at or above it, a DNAME above it
    (RFC 6672, section 2.4): below those nothing is answered.
    """
    nodes, origin = joined.zone.nodes, joined.zone.origin
    types = nodes.get(name, {})
    for rtype in (RRType.CNAME, *(ADDRESS_TYPES[family] for family in sorted(families))):
        if rtype in types:
            problem = f"{name.text} has a fixed {type_name(rtype)} in {joined.at(name, rtype)}"
            raise ConfigError(where, problem, "remove one of the two")
    for above in name.ancestors():
        if above == origin:
            break
        held = nodes.get(above, {})
        if RRType.NS in held:
            problem = f"{name.text} belongs to {above.text}, delegated in {joined.at(above, RRType.NS)}"
            raise ConfigError(where, problem, "publish it at the servers of that zone, or remove the delegation")
        if RRType.DNAME in held and above != name:
            _refuse_below_dname(joined, name, above, where)
    if RRType.DNAME in nodes[origin] and name != origin:
        _refuse_below_dname(joined, name, origin, where)


def _refuse_below_dname(joined: Joined, name: Name, above: Name, where: str) -> None:
    problem = f"{name.text} is below a DNAME, in {joined.at(above, RRType.DNAME)}"
    raise ConfigError(where, problem, "remove one of the two; nothing below a DNAME is answered")
