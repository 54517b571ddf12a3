"""Domain names (RFC 1034, section 3.1): labels of octets, compared without regard to ASCII case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from homing.errors import ModelError

MAX_LABEL = 63
"""Octets in a label (RFC 1035, section 2.3.4)."""

MAX_WIRE = 255
"""Octets in a whole name in wire form, with all length octets (RFC 1035, section 2.3.4)."""

_ESCAPED = frozenset(b'.\\"();@$')
_PLAIN = bytes(octet for octet in range(33, 127) if octet not in _ESCAPED)
"""Octets of a label that stand for themselves in presentation form."""

_LENGTHS = tuple(bytes((size,)) for size in range(MAX_LABEL + 1))


@dataclass(frozen=True, slots=True, order=False)
class Name:
    """An absolute domain name. ``labels`` go from the leaf to the top, without the root's empty label.

    Equality and hash ignore ASCII case; the case given is kept for showing and for answers.
    """

    labels: tuple[bytes, ...]
    key: tuple[bytes, ...] = field(init=False, repr=False)
    """The labels in lower case: what equality, hash and look-up go by."""

    def __post_init__(self) -> None:
        labels = self.labels
        octets = b"".join(labels)
        if len(octets) + len(labels) >= MAX_WIRE or not all(labels) or max(map(len, labels), default=0) > MAX_LABEL:
            raise ModelError(_fault(labels))
        # One tuple where one will do; names come by the ten thousand, so labels are not looked at one by one.
        key = labels if octets == octets.lower() else tuple(label.lower() for label in labels)
        object.__setattr__(self, "key", key)

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Name) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: Name) -> bool:
        """Canonical order (RFC 4034, section 6.1)."""
        return self.key[::-1] < other.key[::-1]

    def __str__(self) -> str:
        """Presentation form with the final dot."""
        if not b"".join(self.labels).translate(None, _PLAIN):
            return b".".join(self.labels).decode("ascii") + "."
        return "".join(_label_text(label) + "." for label in self.labels)

    @property
    def text(self) -> str:
        """Presentation form as people write host names: lower case, no final dot (``.`` for the root)."""
        return str(self if self.key is self.labels else Name(self.key))[:-1] or "."

    @property
    def wire(self) -> bytes:
        """Uncompressed wire form, case kept."""
        return b"".join([_LENGTHS[len(label)] + label for label in self.labels]) + b"\0"

    @property
    def is_root(self) -> bool:
        """Whether this is the root."""
        return not self.labels

    def parent(self) -> Name:
        """The name one label up. Raises ModelError for the root."""
        if not self.labels:
            raise ModelError("the root has no parent")
        return Name(self.labels[1:])

    def ancestors(self) -> Iterator[Name]:
        """This name, then each name above it, down to the root."""
        for start in range(len(self.labels) + 1):
            yield Name(self.labels[start:])

    def is_within(self, zone: Name) -> bool:
        """Whether this name is the zone's apex or lies below it."""
        depth = len(zone.key)
        return depth == 0 or self.key[-depth:] == zone.key

    def relative(self, zone: Name) -> str:
        """Presentation form below the zone, ``@`` for the apex. Raises ModelError when outside."""
        if not self.is_within(zone):
            raise ModelError(f"{self} is not in {zone}")
        own = self.labels[: len(self.labels) - len(zone.labels)]
        return ".".join(_label_text(label) for label in own) or "@"

    def prefixed(self, label: str | bytes) -> Name:
        """The name one label below."""
        return Name((label.encode("ascii") if isinstance(label, str) else label, *self.labels))


@lru_cache(maxsize=4096)
def parse_name(text: str) -> Name:
    r"""Read a name in presentation form, with or without the final dot; ``\.`` and ``\DDD`` are understood.

    Raises ModelError (RFC 1035, section 5.1; RFC 4343 for the case).
    """
    if text == ".":
        return Name(())
    if not text:
        raise ModelError("a domain name is empty")
    labels: list[bytes] = []
    label = bytearray()
    octets = iter(text)
    open_label = True
    for char in octets:
        open_label = char != "."
        if char == ".":
            labels.append(bytes(label))
            label.clear()
        elif char == "\\":
            label.append(_escape(octets, text))
        elif char.isascii() and char.isprintable() and char != " ":
            label.append(ord(char))
        else:
            raise ModelError(f"{text[:80]!r} has a character that is not allowed in a domain name: {char!r}")
    if open_label:
        labels.append(bytes(label))
    return Name(tuple(labels))


def _escape(octets: Iterator[str], text: str) -> int:
    first = next(octets, "")
    if first.isdigit():
        digits = first + next(octets, "") + next(octets, "")
        if len(digits) == 3 and digits.isascii() and digits.isdigit() and int(digits) < 256:
            return int(digits)
    elif first and first.isascii():
        return ord(first)
    raise ModelError(f"{text[:80]!r} has a broken escape")


def _fault(labels: tuple[bytes, ...]) -> str:
    """What is wrong with labels that make no name."""
    for label in labels:
        if not label:
            return "a domain name has an empty label"
        if len(label) > MAX_LABEL:
            return f"label {_label_text(label)[:20]}... is longer than {MAX_LABEL} octets"
    return f"a domain name is longer than {MAX_WIRE} octets"


def _label_text(label: bytes) -> str:
    return "".join(
        f"\\{chr(octet)}" if octet in _ESCAPED else chr(octet) if 33 <= octet <= 126 else f"\\{octet:03d}"
        for octet in label
    )


def is_host_name(name: Name) -> bool:
    """Whether every label is letters, digits and inner hyphens (RFC 1123, section 2.1), at least two labels."""
    return len(name.key) >= 2 and all(_is_ldh(label) for label in name.key)


def _is_ldh(label: bytes) -> bool:
    return (
        not label.startswith(b"-")
        and not label.endswith(b"-")
        and all(octet == 0x2D or 0x30 <= octet <= 0x39 or 0x61 <= octet <= 0x7A for octet in label)
    )
