"""Many targets together: failures count only while another target answers."""

from __future__ import annotations

from collections.abc import Container
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from homing.checks import Check, Http, Icmp, Target, Tcp
from homing.checks.judge import Judge, way_of
from homing.model.health import Health

CHECK = Check(Tcp(443), interval=2, timeout=1, rise=2, fall=3)
A, B, C = (Target(ip_address(f"192.0.2.{host}"), CHECK) for host in (1, 2, 3))
SIX = Target(ip_address("2001:db8::1"), CHECK)


class Rounds:
    """A judge, and rounds of probes in which some targets answer; a round is one interval."""

    def __init__(self, *targets: Target, failing: Container[Target] = ()) -> None:
        self.judge = Judge()
        self.judge.follow(targets, failing)
        self.targets = targets
        self.turned: list[Target] = []
        self.now = 0.0

    def go(self, count: int, *answering: Target) -> Rounds:
        """Probe all of them in their order, so many times."""
        for _ in range(count):
            for place, target in enumerate(self.targets):
                started = self.now + 0.1 * place
                heard = self.judge.succeeded if target in answering else self.judge.failed
                self.turned += heard(target, started, started + 0.05)
            self.now += CHECK.interval
        return self

    @property
    def failing(self) -> set[Target]:
        """Those that are out."""
        return {target for target in self.targets if self.judge.health(target) is Health.FAILING}


def test_a_target_fails_while_another_answers() -> None:
    """After fall failures it is failing, told once; after rise successes it is not."""
    rounds = Rounds(A, B).go(2, B)
    assert rounds.failing == set()
    assert rounds.go(1, B).failing == {A}
    assert rounds.go(5, B).turned == [A]
    assert rounds.go(2, A, B).failing == set()
    assert rounds.turned == [A, A]


def test_when_nothing_answers_nothing_changes() -> None:
    """However long: the checker is blind, and says so."""
    rounds = Rounds(A, B, C).go(3, A, B, C).go(100)
    assert (rounds.failing, rounds.turned) == (set(), [])
    assert rounds.judge.is_blind(way_of(A))
    assert not rounds.go(1, B).judge.is_blind(way_of(A))


def test_sight_that_returns_does_not_make_what_was_missed_count() -> None:
    """The first target that answers after an outage is no witness of the failures before."""
    rounds = Rounds(A, B, C).go(3, A, B, C).go(20).go(1, C)
    assert rounds.failing == set()


def test_what_fails_stays_out_while_nothing_answers() -> None:
    """Blindness changes nothing in either direction."""
    assert Rounds(A, B, C).go(3, B, C).go(50).failing == {A}


def test_the_only_target_is_never_out() -> None:
    """There is nobody to tell a dead target from a dead checker."""
    assert Rounds(A).go(20).failing == set()


def test_the_last_one_that_answered_stays() -> None:
    """Of two, the first fails while the second answers; then the second has no witness."""
    assert Rounds(A, B).go(5, B).go(20).failing == {A}


def test_a_witness_travels_the_same_way() -> None:
    """IPv4 that works says nothing about IPv6, and an answer to TCP nothing about ICMP."""
    ping = Target(A.address, Check(Icmp()))
    assert Rounds(A, B, SIX, ping).go(20, A, B).failing == set()


def test_a_failure_without_a_witness_breaks_the_row() -> None:
    """Failures before and after an outage are not added up."""
    rounds = Rounds(A, B).go(2, B).go(3)
    assert rounds.go(2, B).failing == set()
    assert rounds.go(1, B).failing == {A}


def test_a_probe_that_could_not_be_made_breaks_the_row() -> None:
    """And a failure that waited for a witness is not counted by a much later one."""
    rounds = Rounds(A, B).go(2, B)
    rounds.judge.skipped(A)
    assert rounds.go(2, B).failing == set()
    rounds.judge.failed(A, rounds.now, rounds.now)
    rounds.judge.skipped(A)
    rounds.judge.succeeded(B, rounds.now + 100, rounds.now + 100)
    assert rounds.failing == set()


def test_a_late_witness_counts() -> None:
    """Whether the other one is probed before or after the target in each interval does not matter."""
    assert Rounds(B, A).go(4, B).failing == {A}
    assert Rounds(A, B).go(3, B).failing == {A}


def test_new_figures_keep_what_is_known_and_a_new_probe_does_not() -> None:
    """An interval that is edited does not put a dead address back; another port is another question."""
    rounds = Rounds(A, B).go(3, B)
    slower = Target(A.address, Check(Tcp(443), interval=10))
    other = Target(A.address, Check(Http(443)))
    rounds.judge.follow([slower, other, B])
    assert (rounds.judge.health(slower), rounds.judge.health(other)) == (Health.FAILING, Health.HEALTHY)
    assert list(rounds.judge.unhealthy) == [slower]


def test_what_another_checker_found_failing_is_believed_at_first() -> None:
    """While it fails here too; rise successes bring it back."""
    rounds = Rounds(A, B, failing=[A]).go(20, B)
    assert (rounds.failing, rounds.turned) == ({A}, [])
    assert rounds.go(2, A, B).failing == set()


def test_what_cannot_be_seen_from_here_is_not_believed_for_long() -> None:
    """fall failures while nothing else answers either, or a probe that cannot be made; later ones change nothing."""
    rounds = Rounds(A, B, failing=[A]).go(2)
    assert rounds.failing == {A}
    assert rounds.go(1).turned == [A]
    assert rounds.go(20).failing == set()
    other = Rounds(A, B, failing=[A])
    assert other.judge.skipped(A) == [A]
    assert other.judge.skipped(A) == []
    assert other.failing == set()


def test_what_is_known_here_stands_before_what_another_checker_found() -> None:
    """A target that is followed already, or whose figures alone change, stays as it is."""
    rounds = Rounds(A, B).go(1, A, B)
    new = Target(A.address, Check(CHECK.probe, interval=5, timeout=1))
    rounds.judge.follow([new, B], [A, B, new])
    assert [rounds.judge.health(target) for target in (new, B)] == [Health.HEALTHY] * 2


def test_what_is_not_followed_is_healthy_and_its_late_results_change_nothing() -> None:
    """A probe may end after its target went."""
    rounds = Rounds(A, B).go(3, B)
    rounds.judge.follow([B])
    assert rounds.judge.health(A) is Health.HEALTHY
    assert rounds.judge.failed(A, 10, 10) == rounds.judge.succeeded(A, 10, 10) == []


TARGETS = [*(Target(ip_address(f"192.0.2.{host}"), CHECK) for host in range(1, 5)), SIX]
events = st.lists(st.tuples(st.sampled_from(TARGETS), st.booleans(), st.sampled_from((0.0, 0.3, 2.0))), max_size=150)


@settings(max_examples=300)
@given(events)
def test_who_is_out_failed_fall_times_while_another_answered(row: list[tuple[Target, bool, float]]) -> None:
    """In any order of results: no target turns to failing otherwise, and one of each way stays that did not."""
    judge, now = Judge(), 0.0
    judge.follow(TARGETS)
    misses: dict[Target, list[float]] = {target: [] for target in TARGETS}
    successes: list[tuple[Target, float]] = []
    for target, success, pause in row:
        now += pause
        if success:
            misses[target].clear()
            successes.append((target, now))
            turned = judge.succeeded(target, now, now)
        else:
            misses[target].append(now)
            turned = judge.failed(target, now, now)
        for out in turned:
            if judge.health(out) is Health.FAILING:
                assert len(misses[out]) >= CHECK.fall
                for begun in misses[out][-CHECK.fall :]:
                    assert any(way_of(w) == way_of(out) and w != out and at >= begun for w, at in successes)
        assert judge.health(SIX) is Health.HEALTHY  # the only one of its way
    assert set(judge.unhealthy) == {target for target in TARGETS if judge.health(target) is not Health.HEALTHY}


@settings(max_examples=200)
@given(events, st.integers(1, 60))
def test_an_outage_of_the_checker_removes_nothing(row: list[tuple[Target, bool, float]], rounds: int) -> None:
    """Whatever was known before: while nothing answers, no health changes."""
    judge, now = Judge(), 0.0
    judge.follow(TARGETS)
    for target, success, pause in row:
        now += pause
        (judge.succeeded if success else judge.failed)(target, now, now)
    before = [judge.health(target) for target in TARGETS]
    for _ in range(rounds):
        for target in TARGETS:
            now += 0.4
            assert judge.failed(target, now, now + 1) == []
    assert [judge.health(target) for target in TARGETS] == before
