"""Operators vote; a verdict given early is the verdict that everyone's answer would give."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing.detect.consensus import decide, lone_address
from homing.model.address import Address, Family, parse_address
from homing.model.observation import Method, Observation, Outcome, Verdict

A, B = parse_address("203.0.113.7"), parse_address("198.51.100.9")


def said(operator: str, address: Address | None, *, failure: str = "", observer: str = "") -> Observation:
    """An observation as an observer of that operator makes it."""
    failure = failure or ("no answer within 5 s" if address is None else "")
    return Observation(observer or operator, operator, Method.STUN, Family.V4, 0.0, 0.02, address, failure)


def final(*observations: Observation, quorum: int = 2, previous: Address | None = None) -> Verdict:
    """The verdict at the deadline."""
    verdict = decide(Family.V4, observations, (), quorum, previous_lone=previous)
    assert verdict is not None
    return verdict


def test_the_honest_win_against_two_liars() -> None:
    """Two services that lie do not move the verdict of three honest ones."""
    honest = [said(name, A) for name in ("google", "twilio", "cloudflare")]
    verdict = final(*honest, said("liar", B), said("fibber", B))
    assert (verdict.outcome, verdict.address) == (Outcome.AGREED, A)
    assert verdict.reason == "3 of 5 operators say 203.0.113.7 (fibber and liar say 198.51.100.9)"


def test_servers_of_one_operator_are_one_vote() -> None:
    """Many servers of one operator do not outvote two other operators."""
    crowd = [said("liar", B, observer=f"liar{number}") for number in range(9)]
    assert final(*crowd, said("google", A), said("twilio", A)).address == A


def test_an_operator_that_contradicts_itself_answers_for_nobody() -> None:
    """A void vote supports no address but counts among those that answered."""
    torn = [said("torn", A, observer="torn1"), said("torn", B, observer="torn2")]
    assert final(*torn, said("google", A)).outcome is Outcome.DISPUTED
    assert final(*torn, said("google", A), said("twilio", A)).address == A


def test_half_is_not_more_than_half() -> None:
    """Two against two is a dispute, and the reason names both camps."""
    verdict = final(said("a", A), said("b", A), said("c", B), said("d", B))
    assert (verdict.outcome, verdict.address) == (Outcome.DISPUTED, None)
    assert "203.0.113.7" in verdict.reason
    assert "198.51.100.9" in verdict.reason


def test_failed_observations_do_not_count() -> None:
    """Neither silence nor an address that does not count is a vote."""
    private = said("c", parse_address("10.0.0.1"), failure="answered 10.0.0.1, which is a private address")
    assert final(said("a", A), said("b", A), private, said("d", None)).reason == "2 of 2 operators say 203.0.113.7"


def test_a_lone_answer_is_believed_when_repeated() -> None:
    """A lone answer gives UNKNOWN first, and agreement when the next round repeats it, not when it differs."""
    first = final(said("google", A), said("twilio", None))
    assert first.outcome is Outcome.UNKNOWN
    assert first.reason == "only google answered, with 203.0.113.7; a second round must repeat it"
    assert lone_address(first.observations) == A
    assert final(said("google", A), previous=A).address == A
    assert final(said("google", B), previous=A).outcome is Outcome.UNKNOWN


def test_nobody_answering_is_unknown_and_says_why() -> None:
    """The reason of an unknown verdict holds the observers' failures."""
    verdict = final(said("google", None), said("twilio", None))
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reason == "no observer could tell: no answer within 5 s (2 observers)"


def test_carrier_grade_nat_is_told() -> None:
    """When observers see an address in 100.64.0.0/10 the reason says what that means."""
    seen = said("google", parse_address("100.64.3.4"), failure="does not count")
    assert "carrier-grade NAT" in final(seen, said("twilio", None)).reason


def test_other_families_are_left_out() -> None:
    """Observations of the other family do not vote."""
    assert decide(Family.V6, [said("google", A), said("twilio", A)], ()) != final(said("google", A))
    verdict = decide(Family.V6, [said("google", A), said("twilio", A)], ())
    assert verdict is not None
    assert verdict.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("quorum", [2, 3, 4])
def test_the_quorum_is_respected(quorum: int) -> None:
    """Fewer operators than the quorum never agree at once."""
    voters = [said(f"operator{number}", A) for number in range(quorum)]
    assert final(*voters, quorum=quorum).outcome is Outcome.AGREED
    assert final(*voters[1:], quorum=quorum).outcome is Outcome.UNKNOWN


POOL: list[Address] = [IPv4Address("203.0.113.1"), IPv4Address("203.0.113.2")]
OPERATORS = ["a", "b", "c", "d", "e"]


@settings(max_examples=400, deadline=None)
@given(
    arrived=st.lists(st.tuples(st.sampled_from(OPERATORS), st.sampled_from([None, *POOL])), max_size=6),
    pending=st.lists(st.sampled_from(OPERATORS), max_size=4),
    quorum=st.integers(1, 3),
    previous=st.sampled_from([None, *POOL]),
)
def test_a_verdict_comes_exactly_when_it_can_no_longer_change(
    arrived: list[tuple[str, Address | None]], pending: list[str], quorum: int, previous: Address | None
) -> None:
    """Early verdicts equal the final one for every way the silent ones may answer; a wait is never in vain.

    The address of a lone answer belongs to what an end is: the second round is judged by it.
    """
    seen = [said(operator, address) for operator, address in arrived]
    early = decide(Family.V4, seen, pending, quorum, previous_lone=previous)
    fresh: list[Address] = [IPv4Address(f"192.0.2.{number}") for number in range(1, len(pending) + 1)]
    ways = itertools.product(*([None, *POOL, fresh[0], fresh[number]] for number in range(len(pending))))
    ends = set()
    for way in ways:
        late = [said(operator, address) for operator, address in zip(pending, way, strict=True)]
        verdict = final(*seen, *late, quorum=quorum, previous=previous)
        ends.add((verdict.outcome, verdict.address, lone_address([*seen, *late], quorum)))
    if early is None:
        assert len(ends) > 1
    else:
        assert {end[:2] for end in ends} == {(early.outcome, early.address)}
