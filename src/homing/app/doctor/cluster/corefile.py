"""CoreDNS's Corefile, read far enough to tell where a name's questions go. Pure.

The grammar is Caddy's: blocks of directives after the names they serve; words in quotes; ``#`` begins a comment;
``(name)`` before a block makes a snippet, which ``import name`` puts elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from homing.app.doctor.finding import Finding, Level
from homing.errors import ModelError
from homing.model.name import Name, parse_name

COREDNS = "CoreDNS"

MAX_TEXT = 256 * 1024
"""Characters of a Corefile that are read."""

_WORD = re.compile(r'"((?:\\.|[^"\\])*)"|(\S+)')
_PORT = re.compile(r":\d+$")
_IMPORT = "import"

Words = Sequence[str]


@dataclass(frozen=True, slots=True)
class Block:
    """A server block: the names it serves, and its directives with their words; nested blocks are left out."""

    zones: tuple[Name, ...]
    directives: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Corefile:
    """All blocks; ``imports`` tells that there is more which is not in the text."""

    blocks: tuple[Block, ...]
    imports: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """Where the questions for a name and all below it go."""

    zone: Name
    to: Words


def parse(text: str) -> Corefile:
    """Read a Corefile. What cannot be understood is passed over."""
    lines = list(_lines(text[:MAX_TEXT]))
    blocks: list[Block] = []
    snippets: dict[str, tuple[Words, ...]] = {}
    heads: list[str] = []
    imports = False
    at = 0
    while at < len(lines):
        words = lines[at]
        at += 1
        if words[0] == _IMPORT and not heads:
            imports = True
            continue
        heads += [part for word in words if word != "{" for part in word.split(",") if part]
        if words[-1] != "{":
            continue
        body, at = _body(lines, at)
        if len(heads) == 1 and heads[0].startswith("("):
            snippets[heads[0].strip("()")] = body
        else:
            blocks.append(Block(tuple(_zones(heads)), body))
        heads = []
    whole: list[Block] = []
    for block in blocks:
        directives: list[Words] = []
        for words in block.directives:
            known = snippets.get(words[1]) if words[0] == _IMPORT and len(words) > 1 else None
            imports = imports or (words[0] == _IMPORT and known is None)
            directives += known if known is not None else [words]
        whole.append(Block(block.zones, tuple(directives)))
    return Corefile(tuple(whole), imports)


def forward_of(corefile: Corefile, origin: Name) -> Forward | None:
    """Where questions for a zone go by a rule that is narrower than all names; None when no such rule holds it."""
    serving = [
        (len(zone.labels), zone, block) for block in corefile.blocks for zone in block.zones if origin.is_within(zone)
    ]
    if not serving:
        return None
    _, zone, block = max(serving, key=lambda item: item[0])
    rules = [_forward(zone, words) for words in block.directives if words[0] == "forward" and len(words) > 2]
    fitting = [rule for rule in rules if rule is not None and origin.is_within(rule.zone) and not rule.zone.is_root]
    return max(fitting, key=lambda rule: len(rule.zone.labels), default=None)


def judge(origin: Name, corefile: Corefile, ours: frozenset[str]) -> Finding:
    """Whether CoreDNS sends the zone's questions to Homing; ``ours`` are the addresses of its Service, if known."""
    check = f"{COREDNS} {origin.text}"
    found = forward_of(corefile, origin)
    if found is None and corefile.imports:
        return Finding(check, Level.SKIPPED, "not known: the Corefile imports more than the ConfigMap holds")
    block = _block(origin, min(ours, default="ADDRESS-OF-HOMING-DNS"))
    add = f"kubectl -n kube-system edit configmap coredns, and add to its Corefile:\n{block}"
    if found is None:
        text = "pods ask the internet for it: no server block of kube-system/coredns forwards it"
        return Finding(check, Level.WARNING, text, add)
    to = {_host(word) for word in found.to}
    if ours and not to & ours:
        text = f"is forwarded to {', '.join(sorted(to)[:4])}, and Homing's Service is at {', '.join(sorted(ours)[:4])}"
        return Finding(check, Level.WARNING, text, f"if that is not Homing either: {add}")
    return Finding(check, Level.OK, f"forwarded to {', '.join(found.to[:4])}")


def _block(origin: Name, address: str) -> str:
    shown = f"[{address}]" if ":" in address else address
    return f"{origin.text}:53 {{\n    errors\n    cache 30\n    forward . {shown}\n}}"


def _lines(text: str) -> Iterator[Words]:
    """Lines of words without comments; braces end lines, so that each directive is one."""
    for line in text.splitlines():
        words: list[str] = []
        for quoted, plain in _WORD.findall(line):
            if plain.startswith("#"):
                break
            words.append(quoted or plain)
            if plain in ("{", "}"):
                yield tuple(words)
                words = []
        if words:
            yield tuple(words)


def _body(lines: Sequence[Words], at: int) -> tuple[tuple[Words, ...], int]:
    """The directives up to the block's end, and the line behind it."""
    depth, found = 1, list[Words]()
    while at < len(lines) and depth:
        words = lines[at]
        at += 1
        directive = tuple(word for word in words if word not in ("{", "}"))
        if depth == 1 and directive:
            found.append(directive)
        depth += (words[-1] == "{") - (words[-1] == "}")
    return tuple(found), at


def _zones(heads: Sequence[str]) -> Iterator[Name]:
    for head in heads:
        text = _PORT.sub("", head.partition("://")[2] or head) or "."
        try:
            yield parse_name(text)
        except ModelError:  # a network in CIDR notation for one: none of our names
            continue


def _forward(zone: Name, words: Words) -> Forward | None:
    """A ``forward FROM TO...``; with ``.`` it holds for all that the block serves."""
    try:
        start = parse_name(words[1])
    except ModelError:
        return None
    return Forward(zone if start.is_root else start, words[2:])


def _host(word: str) -> str:
    text = word.partition("://")[2] or word
    return (
        text[1:].partition("]")[0] if text.startswith("[") else text if text.count(":") > 1 else text.partition(":")[0]
    )
