"""What is worth a message: one situation is compared with the one before. Pure; each is told once.

==============  =======================================================================================
address         it is another one than was told last
disputed,       it began; ``failed`` only after some time. Told once, and not again within ``repeat``
lockout,        seconds however often it comes and goes
failed
drift, fault    it happened (again); told once within ``repeat`` seconds. It has no end
recovered       what was told is over. What cannot be seen now neither begins nor ends (law 1)
==============  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["address", "disputed", "lockout", "failed", "drift", "fault", "recovered"]

Trouble = tuple[Kind, str]
"""A kind, and what it is about: ``WAN IPv4``, ``strato``, ``www.example.org at gandi``."""

MAX_KNOWN = 10_000
"""Troubles and addresses that are kept in mind."""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell, in a sentence. ``at`` is Unix seconds."""

    at: float
    kind: Kind
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Situation:
    """How things are: addresses by what they are of, troubles in a sentence each.

    ``unsure`` are troubles of which nothing is known now. ``turned_at`` is when names were last looked at (Unix
    seconds, 0 for never), ``failing`` whether some of them are not right by a fault. ``happened`` holds what is over as
    soon as it is there: a number that grows each time, and a sentence.
    """

    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    troubles: Mapping[Trouble, str] = field(default_factory=dict[Trouble, str])
    unsure: frozenset[Trouble] = frozenset()
    happened: Mapping[Trouble, tuple[float, str]] = field(default_factory=dict[Trouble, tuple[float, str]])
    turned_at: float = 0.0
    failing: bool = False


@dataclass(slots=True)
class _Known:
    since: float
    told: bool


class Watch:
    """Remembers what was told. What there is at the first look was told by whoever ran before."""

    def __init__(self) -> None:
        self._addresses: dict[str, tuple[str, float]] = {}
        self._troubles: dict[Trouble, _Known] = {}
        self._told_at: dict[Trouble, float] = {}
        self._happened: dict[Trouble, float] = {}
        self._looked = False

    def look(self, now: float, situation: Situation, *, repeat: float, failed_after: float) -> tuple[Message, ...]:
        """The news at a time (Unix seconds)."""
        if not self._looked:
            self._looked = True
            self._addresses = {subject: (text, float("-inf")) for subject, text in situation.addresses.items()}
            self._troubles = {one: _Known(now, told=one[0] != "failed") for one in situation.troubles}
            self._happened = {one: number for one, (number, _) in situation.happened.items()}
            return ()
        self._told_at = {one: at for one, at in self._told_at.items() if now - at < repeat}
        found = self._ended(now, situation)
        found += self._begun(now, situation, failed_after)
        found += self._came(now, situation)
        found += self._moved(now, situation, repeat)
        return tuple(found)

    def _ended(self, now: float, situation: Situation) -> list[Message]:
        over = [one for one in self._troubles if one not in situation.troubles and one not in situation.unsure]
        known = [(one, self._troubles.pop(one)) for one in over]
        return [Message(now, "recovered", one[1], _OVER[one[0]].format(one[1])) for one, was in known if was.told]

    def _begun(self, now: float, situation: Situation, failed_after: float) -> list[Message]:
        found: list[Message] = []
        for one, text in situation.troubles.items():
            if len(self._troubles) >= MAX_KNOWN and one not in self._troubles:
                continue
            known = self._troubles.setdefault(one, _Known(now, told=False))
            wait = failed_after if one[0] == "failed" else 0.0
            if not known.told and now - known.since >= wait and one not in self._told_at:
                known.told = True
                self._told_at[one] = now
                found.append(Message(now, one[0], one[1], text))
        return found

    def _came(self, now: float, situation: Situation) -> list[Message]:
        found: list[Message] = []
        for one, (number, text) in situation.happened.items():
            before = self._happened.get(one, 0.0)
            if number <= before or (len(self._happened) >= MAX_KNOWN and one not in self._happened):
                continue
            self._happened[one] = number
            if one not in self._told_at:
                self._told_at[one] = now
                found.append(Message(now, one[0], one[1], text))
        return found

    def _moved(self, now: float, situation: Situation, repeat: float) -> list[Message]:
        found: list[Message] = []
        for subject, text in situation.addresses.items():
            before, at = self._addresses.get(subject, ("", float("-inf")))
            if text == before or now - at < repeat:
                continue
            if before:
                found.append(Message(now, "address", subject, f"{subject} is {text} now; it was {before}"))
            if before or len(self._addresses) < MAX_KNOWN:
                self._addresses[subject] = (text, now if before else float("-inf"))
        return found


_OVER: Mapping[Kind, str] = {
    "disputed": "{}: observers agree again",
    "lockout": "{}: the pause is over",
    "failed": "{}: works again",
}
