"""Who can be asked: frozen descriptions of observers, each with the operator whose vote its answer is."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from homing.detect.stun import DEFAULT_PORT, Transport
from homing.errors import ModelError
from homing.model.address import Address, Family, family_of, parse_address
from homing.model.name import Name
from homing.model.observation import Method

BOTH = (Family.V4, Family.V6)
THIS_MACHINE = "this machine"
"""The operator of the observer that looks at the machine's own interfaces."""

_KNOWN = {
    "1.1.1.1": "cloudflare",
    "2606:4700:4700::1111": "cloudflare",
    "icanhazip.com": "cloudflare",
    "one.one": "cloudflare",
    "208.67.222.222": "opendns",
    "2620:119:35::35": "opendns",
    "216.239.32.10": "google",
    "2001:4860:4802:32::a": "google",
    "amazonaws.com": "amazon",
    "signalwire.com": "signalwire",
    "freeswitch.org": "signalwire",
    "dedyn.io": "desec",
}
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "gv", "ne", "net", "or", "org"})


@dataclass(frozen=True, slots=True)
class StunServer:
    """A STUN server; ``host`` is a name or an address. Without ``operator`` it is derived from the host."""

    host: str
    port: int = DEFAULT_PORT
    transport: Transport = Transport.UDP
    operator: str = ""
    families: tuple[Family, ...] = BOTH

    def __post_init__(self) -> None:
        _complete(self, self.host)

    @property
    def name(self) -> str:
        """Unique within a round."""
        return f"{_bracketed(self.host)}:{self.port}/{self.transport.value}"

    @property
    def method(self) -> Method:
        """How it is asked."""
        return Method.STUN


@dataclass(frozen=True, slots=True)
class HttpService:
    """An HTTP service that answers with the asker's address; asked over each of ``families`` by itself."""

    url: str
    operator: str = ""
    families: tuple[Family, ...] = BOTH

    def __post_init__(self) -> None:
        _complete(self, self.host)

    @property
    def host(self) -> str:
        """The host in the URL, an IPv6 address without its brackets."""
        return urlsplit(self.url).hostname or self.url

    @property
    def name(self) -> str:
        """Unique within a round; the URL without user, password and parameters."""
        parts = urlsplit(self.url)
        host = _bracketed(self.host) + (f":{parts.port}" if parts.port else "")
        return f"{parts.scheme}://{host}{parts.path}"

    @property
    def method(self) -> Method:
        """How it is asked."""
        return Method.HTTP


@dataclass(frozen=True, slots=True)
class WhoamiServer:
    """A name server that answers ``question`` with the asker's address; ``rdtype`` 0 means A or AAAA by family."""

    host: str
    question: Name
    rdtype: int
    rdclass: int
    operator: str = ""
    families: tuple[Family, ...] = BOTH
    port: int = 53

    def __post_init__(self) -> None:
        _complete(self, self.host)

    @property
    def name(self) -> str:
        """Unique within a round."""
        return f"{self.question.text}@{self.host}" + (f":{self.port}" if self.port != 53 else "")

    @property
    def method(self) -> Method:
        """How it is asked."""
        return Method.WHOAMI


@dataclass(frozen=True, slots=True)
class Interfaces:
    """The address this machine itself sends from: a vote when it is globally reachable."""

    operator: str = THIS_MACHINE
    families: tuple[Family, ...] = BOTH

    @property
    def name(self) -> str:
        """Unique within a round."""
        return "interface"

    @property
    def method(self) -> Method:
        """How it is asked."""
        return Method.INTERFACE


Observer = StunServer | HttpService | WhoamiServer | Interfaces


def operator_of(host: str) -> str:
    """Who runs a host, as far as its name tells: the registrable domain (approximated), or the address itself."""
    address = literal(host)
    if address is not None:
        return _KNOWN.get(str(address), str(address))
    labels = host.rstrip(".").lower().split(".")
    size = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 2
    domain = ".".join(labels[-size:])
    return _KNOWN.get(domain) or (labels[-size:][0] if domain in _BY_LABEL else domain)


_BY_LABEL = frozenset({"google.com", "cloudflare.com", "twilio.com", "nextcloud.com", "opendns.com"})


def literal(host: str) -> Address | None:
    """The address when the host is one, in brackets or not."""
    try:
        return parse_address(host.removeprefix("[").removesuffix("]"))
    except ModelError:
        return None


def _complete(observer: StunServer | HttpService | WhoamiServer, host: str) -> None:
    """Fill in the operator, and leave out the family that an address literal cannot serve."""
    if not observer.operator:
        object.__setattr__(observer, "operator", operator_of(host))
    address = literal(host)
    if address is not None:
        kept = tuple(family for family in observer.families if family is family_of(address))
        object.__setattr__(observer, "families", kept)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
