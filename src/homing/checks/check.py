"""What a user asks for: a probe, how often, and how many results in a row count."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from homing.errors import ModelError
from homing.model.address import Address, Reach, reach_of

_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"({_LABEL}[.])*{_LABEL}")
_PATH = re.compile(r"/[!-~]*")

MAX_PATH = 1024
"""Octets of a path."""

MAX_STATUSES = 16


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP connection can be opened."""

    port: int

    def __post_init__(self) -> None:
        _port(self.port)

    @property
    def kind(self) -> str:
        """The word for logs and metrics."""
        return "tcp"

    def __str__(self) -> str:
        return f"tcp {self.port}"


@dataclass(frozen=True, slots=True)
class Http:
    """A GET is answered with one of these statuses, or with 200 to 399 where none are given; redirects stay unfollowed.

    ``host`` goes into the Host field and, with ``tls``, is the name that the certificate must be for; without it any
    certificate will do, and the Host field holds the address.
    """

    port: int
    path: str = "/"
    host: str = ""
    tls: bool = False
    expected: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _port(self.port)
        # What goes into a request must not be able to end its line; parameters may hold secrets, which no URL may.
        if len(self.path) > MAX_PATH or not _PATH.fullmatch(self.path) or "?" in self.path or "#" in self.path:
            raise ModelError(f"{self.path[:80]!r} is not a path: write it like /healthz, without parameters")
        if self.host and (len(self.host) > 253 or not _HOST.fullmatch(self.host)):
            raise ModelError(f"{self.host[:80]!r} is not a host name: write it like www.example.org")
        if len(self.expected) > MAX_STATUSES or not all(200 <= status <= 599 for status in self.expected):
            raise ModelError(f"expected statuses are at most {MAX_STATUSES} numbers from 200 to 599")

    @property
    def kind(self) -> str:
        """The word for logs and metrics."""
        return "https" if self.tls else "http"

    def expects(self, status: int) -> bool:
        """Whether a response with this status speaks for the target."""
        return status in self.expected if self.expected else 200 <= status <= 399

    def __str__(self) -> str:
        return f"{self.kind} {self.port} {self.host}{self.path}"


@dataclass(frozen=True, slots=True)
class Icmp:
    """An echo request is answered."""

    @property
    def kind(self) -> str:
        """The word for logs and metrics."""
        return "icmp"

    def __str__(self) -> str:
        return "icmp"


Probe = Tcp | Http | Icmp

_PROBE = re.compile(r"(?P<kind>tcp|https?):(?P<port>[0-9]{1,5})(?P<path>/.*)?|icmp")


def parse_probe(text: str) -> Probe:
    """A probe as ``tcp:443``, ``http:80/path``, ``https:443`` or ``icmp`` says it. Raises ModelError."""
    match = _PROBE.fullmatch(text)
    if match is None or (match["kind"] == "tcp" and match["path"]):
        raise ModelError(f"{text[:80]!r} is no check: write tcp:443, http:80/healthz, https:443/healthz or icmp")
    if match["kind"] is None:
        return Icmp()
    port = int(match["port"])
    return Tcp(port) if match["kind"] == "tcp" else Http(port, match["path"] or "/", tls=match["kind"] == "https")


KINDS = ("tcp", "http", "https", "icmp")


@dataclass(frozen=True, slots=True)
class Check:
    """A probe each ``interval`` seconds, given up after ``timeout`` seconds.

    ``fall`` failures in a row make a target failing, ``rise`` successes make it good again. ``fall`` is at least 2: one
    lost packet never changes an answer. Raises ModelError where a number is out of bounds.
    """

    probe: Probe
    interval: float = 2.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.interval <= 300:
            raise ModelError(f"an interval of {self.interval:g} s: write 1 to 300")
        if not 0 < self.timeout <= min(self.interval, 30):
            raise ModelError(f"a timeout of {self.timeout:g} s: write at most 30, and not more than the interval")
        if not (1 <= self.rise <= 10 and 2 <= self.fall <= 10):
            raise ModelError(f"rise {self.rise}, fall {self.fall}: write 1 to 10 and 2 to 10")


@dataclass(frozen=True, slots=True)
class Target:
    """An address and how it is checked; names that share both share the probes."""

    address: Address
    check: Check
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.address, self.check)))

    def __hash__(self) -> int:
        return self._hash  # thousands are looked up whenever one of them changes

    def __str__(self) -> str:
        return f"{self.address} ({self.check.probe})"


def checkable(address: Address) -> bool:
    """Whether to send probes to an address: whoever may annotate a node must not aim them at this machine itself."""
    if address.version == 6 and address.ipv4_mapped is not None:
        return False  # ::ffff:127.0.0.1 is this machine, too
    never = (Reach.LOOPBACK, Reach.LINK_LOCAL, Reach.MULTICAST)
    return not address.is_unspecified and reach_of(address) not in never


def _port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ModelError(f"{port} is not a port: write 1 to 65535")
