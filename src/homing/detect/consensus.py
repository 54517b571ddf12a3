"""Pure: what the observations of one family add up to.

Operators vote, not servers. An operator's vote is the address its servers say; when they contradict each other the
vote is void: the operator answered, but for nobody. Here is no clock, no socket and no event loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from homing.model.address import Address, Family, Reach, reach_of
from homing.model.observation import Method, Observation, Outcome, Verdict

DEFAULT_QUORUM = 2
"""Operators that must say the same."""

_SHOWN = 3
"""Operators, addresses or failures that a reason names before it says ``and N more``."""


def votes(observations: Iterable[Observation]) -> dict[str, Address | None]:
    """The vote of each operator that answered; None is a void vote."""
    ballots: dict[str, Address | None] = {}
    for seen in observations:
        if seen.counts:
            void = seen.operator in ballots and ballots[seen.operator] != seen.address
            ballots[seen.operator] = None if void else seen.address
    return ballots


def lone_address(observations: Iterable[Observation], quorum: int = DEFAULT_QUORUM) -> Address | None:
    """The address said by all operators that answered, when these are fewer than the quorum; else None."""
    ballots = votes(observations)
    said = set(ballots.values())
    return said.pop() if len(said) == 1 and len(ballots) < quorum else None


def decide(
    family: Family,
    observations: Sequence[Observation],
    pending: Collection[str] = (),
    quorum: int = DEFAULT_QUORUM,
    *,
    previous_lone: Address | None = None,
    at: float = 0.0,
    elapsed: float = 0.0,
) -> Verdict | None:
    """The verdict, or None while the silent observers could still change its outcome or its address.

    ``pending`` holds the operators of the observers that have not answered yet; at the deadline it is empty, and
    then there always is a verdict. A lone answer (see ``lone_address``) is believed only when it equals
    ``previous_lone``, that of the round before; otherwise the outcome is UNKNOWN and the caller asks again.
    ``at`` (Unix time) and ``elapsed`` (seconds) are handed through.
    """
    seen = tuple(one for one in observations if one.family is family)
    ballots = votes(seen)
    silent = set(pending)
    agreed = _agreed(ballots, silent, quorum)
    if agreed is not None:
        outcome, reason = Outcome.AGREED, _agreed_reason(ballots, agreed)
    elif silent and not _settled_dispute(ballots, silent, quorum):
        return None
    elif not ballots:
        outcome, reason = Outcome.UNKNOWN, _unknown_reason(seen)
    else:
        lone = None if silent else lone_address(seen, quorum)
        if lone is None:
            outcome, reason = Outcome.DISPUTED, _disputed_reason(ballots)
        elif lone == previous_lone:
            agreed, outcome = lone, Outcome.AGREED
            reason = f"only {_listed(ballots)} answered, and a second round repeated it: {lone}"
        else:
            outcome = Outcome.UNKNOWN
            reason = f"only {_listed(ballots)} answered, with {lone}; a second round must repeat it"
    return Verdict(family, outcome, agreed, reason, at, elapsed, seen)


def _agreed(ballots: Mapping[str, Address | None], silent: set[str], quorum: int) -> Address | None:
    """The address that wins however the silent ones answer.

    The worst they can do: each operator that voted for it contradicts itself, each other one says something else.
    """
    for address, count in _tally(ballots).most_common(1):
        sure = count - sum(ballots.get(operator) == address for operator in silent)
        answered = len(ballots.keys() | silent)
        if sure >= quorum and 2 * sure > answered:
            return address
    return None


def _settled_dispute(ballots: Mapping[str, Address | None], silent: set[str], quorum: int) -> bool:
    """Whether the answers differ and no address can win any more, even if all operators yet unheard said it."""
    if len(set(ballots.values())) < 2 and None not in ballots.values():
        return False
    unheard = len(silent - ballots.keys())
    best = max(_tally(ballots).values(), default=0) + unheard
    return best < quorum or 2 * best <= len(ballots) + unheard


def _tally(ballots: Mapping[str, Address | None]) -> Counter[Address]:
    return Counter(address for address in ballots.values() if address is not None)


def _listed(words: Iterable[object]) -> str:
    """``a``, ``a and b``, ``a, b, c and 4 more``."""
    named = sorted(str(word) for word in words)
    if len(named) > _SHOWN:
        named = [*named[:_SHOWN], f"{len(named) - _SHOWN} more"]
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def _camps(ballots: Mapping[str, Address | None], besides: Address | None = None) -> str:
    """Who says what, the largest camp first."""
    camps = [
        f"{_listed(who)} say{'s' if len(who) == 1 else ''} {address}"
        for address, _ in _tally(ballots).most_common(_SHOWN + 1)
        if address != besides and (who := [name for name, said in ballots.items() if said == address])
    ]
    void = [name for name, said in ballots.items() if said is None]
    if void:
        camps.append(f"{_listed(void)} contradict{'s itself' if len(void) == 1 else ' themselves'}")
    return "; ".join(camps)


def _agreed_reason(ballots: Mapping[str, Address | None], address: Address) -> str:
    count = _tally(ballots)[address]
    others = _camps(ballots, besides=address)
    return f"{count} of {len(ballots)} operators say {address}" + (f" ({others})" if others else "")


def _disputed_reason(ballots: Mapping[str, Address | None]) -> str:
    if len(set(ballots.values())) == 1 and None in ballots.values():
        return _camps(ballots)
    return f"operators disagree: {_camps(ballots)}"


def _unknown_reason(seen: Sequence[Observation]) -> str:
    remote = [one for one in seen if one.method is not Method.INTERFACE] or list(seen)
    for one in remote:
        if one.address is not None and reach_of(one.address) is Reach.CGNAT:
            return (
                f"observers see {one.address}, which is inside {Reach.CGNAT.description}: "
                "this line has no public address of its own, ask the internet provider for one"
            )
    if not remote:
        return "no observer was asked"
    counted = Counter(one.failure for one in remote).most_common()
    shown = [text + (f" ({count} observers)" if count > 1 else "") for text, count in counted[:_SHOWN]]
    more = sum(count for _, count in counted[_SHOWN:])
    return "no observer could tell: " + "; ".join(shown) + (f"; and {more} more" if more else "")
