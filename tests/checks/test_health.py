"""One target's health from its row of results, and who is answered."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.checks import Check, Damping, Http, Icmp, Target, Tcp, parse_probe
from homing.checks.check import Probe, checkable
from homing.checks.health import State
from homing.errors import ModelError
from homing.model.health import Health, answered

CHECK = Check(Tcp(443), rise=2, fall=3)
DAMPING = Damping()

results = st.lists(st.booleans(), max_size=60)
healths = st.lists(st.sampled_from(Health), max_size=20)


def after(results: str, state: State | None = None, start: float = 0.0, step: float = 2.0) -> State:
    """The state after a row of ``+`` and ``-``, one each ``step`` seconds."""
    state = state or State()
    for index, result in enumerate(results):
        turn = state.succeeded if result == "+" else state.failed
        state = turn(CHECK, DAMPING, start + step * index)
    return state


@pytest.mark.parametrize(
    ("row", "health"),
    [
        ("", Health.HEALTHY),
        ("--", Health.HEALTHY),
        ("--+--+--", Health.HEALTHY),
        ("---", Health.FAILING),
        ("---+", Health.FAILING),
        ("---+-+-+-", Health.FAILING),
        ("---++", Health.HEALTHY),
    ],
)
def test_fall_failures_in_a_row_turn_it_and_rise_successes_turn_it_back(row: str, health: Health) -> None:
    """What was never checked counts as healthy; a row that is interrupted begins anew."""
    assert after(row).health is health


def test_a_target_that_turns_too_often_stays_out_until_it_was_calm() -> None:
    """Three turns within a minute: it works again, is damped, and comes back when the penalty has decayed."""
    damped = after("---++" * 3)
    assert damped.health is Health.DAMPED
    assert after("+" * 60, damped, start=30).health is Health.DAMPED
    assert after("+", damped, start=30 + 300).health is Health.HEALTHY


def test_a_damped_target_that_fails_again_stays_damped() -> None:
    """Its penalty is above reuse, though one more turn does not bring it above suppress."""
    damped = after("---++" * 3)
    assert after("---++", damped, start=30 + 150).health is Health.DAMPED


def test_turns_far_apart_are_forgotten() -> None:
    """A router that restarts each hour is not damped."""
    state = State()
    for hour in range(10):
        state = after("---++", state, start=3600.0 * hour)
        assert state.health is Health.HEALTHY


def test_however_often_it_turned_it_comes_back_within_six_minutes() -> None:
    """The penalty has a ceiling."""
    state = after("---++" * 500)
    assert state.health is Health.DAMPED
    assert after("+", state, start=5000 + 361).health is Health.HEALTHY


@given(results)
def test_only_fall_failures_in_a_row_make_it_failing(row: list[bool]) -> None:
    """A single failure never removes anything, whatever came before."""
    state, misses = State(), 0
    for index, success in enumerate(row):
        before = state.health
        state = (state.succeeded if success else state.failed)(CHECK, DAMPING, 2.0 * index)
        misses = 0 if success else misses + 1
        if state.health is Health.FAILING and before is not Health.FAILING:
            assert misses >= CHECK.fall
        assert state.health is not Health.DAMPED or misses < CHECK.fall
        assert 0 <= state.penalty <= DAMPING.ceiling


@given(healths)
def test_an_answer_is_never_empty_where_there_are_members(known: list[Health]) -> None:
    """And it holds members only, in their order."""
    members = list(range(len(known)))
    found = answered(members, known.__getitem__)
    assert bool(found) == bool(members)
    assert list(found) == [member for member in members if member in found]
    if Health.HEALTHY in known:
        assert {known[member] for member in found} == {Health.HEALTHY}


def test_when_all_fail_all_are_answered_and_before_that_those_that_work() -> None:
    """The checker is the likelier fault; a damped member works, a failing one does not."""
    known = {"a": Health.FAILING, "b": Health.FAILING, "c": Health.DAMPED}
    assert answered("ab", known.__getitem__) == ("a", "b")
    assert answered("abc", known.__getitem__) == ("c",)


def test_health_is_no_bool() -> None:
    """``if health`` would answer what is damped."""
    with pytest.raises(TypeError):
        bool(Health.FAILING)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tcp(0),
        lambda: Tcp(65536),
        lambda: Http(80, path="healthz"),
        lambda: Http(80, path="/a\r\nX-Evil: 1"),
        lambda: Http(80, path="/a\n"),
        lambda: Http(80, path="/a b"),
        lambda: Http(80, path="/?token=secret"),
        lambda: Http(80, path="/" + "a" * 1024),
        lambda: Http(80, host="www.example.org\r\nX-Evil: 1"),
        lambda: Http(80, host="www.example.org\n"),
        lambda: Http(80, host="user:password@www.example.org"),
        lambda: Http(80, expected=(99,)),
        lambda: Http(80, expected=tuple(range(200, 217))),
        lambda: Check(Icmp(), interval=0.5),
        lambda: Check(Icmp(), interval=2, timeout=3),
        lambda: Check(Icmp(), timeout=0),
        lambda: Check(Icmp(), fall=1),
        lambda: Check(Icmp(), rise=0),
    ],
)
def test_a_check_out_of_bounds_cannot_be_made(make: object) -> None:
    """Nothing reaches a request that could end its line, and no interval floods anybody."""
    assert callable(make)
    with pytest.raises(ModelError):
        make()


@pytest.mark.parametrize(
    ("address", "wanted"),
    [("192.0.2.1", True), ("10.0.0.1", True), ("2001:db8::1", True), ("127.0.0.1", False), ("::1", False),
     ("169.254.169.254", False), ("fe80::1", False), ("224.0.0.1", False), ("0.0.0.0", False), ("::", False),
     ("::ffff:127.0.0.1", False)],
)  # fmt: skip
def test_probes_are_not_aimed_at_this_machine_or_its_link(address: str, wanted: bool) -> None:
    """An annotation may hold any address."""
    assert checkable(ip_address(address)) is wanted


@pytest.mark.parametrize(
    ("probe", "text"),
    [(Tcp(443), "tcp 443"), (Http(80), "http 80 /"), (Http(443, "/x", "a.example", True), "https 443 a.example/x"),
     (Icmp(), "icmp")],
)  # fmt: skip
def test_a_target_is_told_by_address_and_probe(probe: Probe, text: str) -> None:
    """As in the log."""
    assert str(Target(ip_address("192.0.2.1"), Check(probe))) == f"192.0.2.1 ({text})"


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        ("tcp:443", Tcp(443)),
        ("http:80", Http(80)),
        ("http:8080/healthz", Http(8080, "/healthz")),
        ("https:443/a/b", Http(443, "/a/b", tls=True)),
        ("icmp", Icmp()),
    ],
)
def test_a_probe_can_be_said_in_a_word(text: str, probe: Probe) -> None:
    """As a flag gives it."""
    assert parse_probe(text) == probe


@pytest.mark.parametrize(
    "text", ["", "tcp", "tcp:", "tcp:443/", "tcp:0", "tcp:65536", "icmp:1", "http:80/?a", "udp:53"]
)
def test_what_says_no_probe_is_refused(text: str) -> None:
    """With what to write."""
    with pytest.raises(ModelError, match="write"):
        parse_probe(text)
