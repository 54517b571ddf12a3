"""What judges the answers about a changing cluster lets nothing wrong pass, and nothing right fail."""

from __future__ import annotations

from ipaddress import ip_address

import dns.flags
import dns.message
import dns.rrset
import pytest

from tests.scale.messages import AAAA, NOERROR, NXDOMAIN, A, Answer, make_query, read_answer
from tests.scale.oracle import Change, Endpoint, Node, Oracle, Slice, State
from tests.scale.stalls import Stalls

FIRST = State(
    {
        "one": Node("home, Cloud, no.area", "192.0.2.1, 2001:db8::1, what"),
        "two": Node("home", "192.0.2.2, ::ffff:192.0.2.2"),
        "down": Node("home, cellar", "192.0.2.3", ready=False),
        "ending": Node("home, old", "192.0.2.4", ending=True),
    },
    {
        "git-1": Slice("git.forge", (Endpoint("one"), Endpoint("down", True), Endpoint("", True))),
        "git-2": Slice("git.forge", (Endpoint("two", False, True, True),)),
        "web-1": Slice("web.forge", (Endpoint("two", False, True, True), Endpoint("one", False, False, True))),
    },
    frozenset(("git.forge", "web.forge", "none.forge")),
)


def answer(*addresses: str, rcode: int = NOERROR) -> Answer:
    """An answer that holds these."""
    return Answer(rcode, frozenset(ip_address(each).packed for each in addresses))


@pytest.mark.parametrize(
    ("name", "rtype", "right"),
    [
        ("home", A, answer("192.0.2.1", "192.0.2.2")),
        ("home", AAAA, answer("2001:db8::1")),
        ("v4.home", A, answer("192.0.2.1", "192.0.2.2")),
        ("v4.home", AAAA, answer()),
        ("v6.home", AAAA, answer("2001:db8::1")),
        ("cloud", A, answer("192.0.2.1")),
        ("cellar", A, answer()),
        ("v6.cellar", A, answer()),
        ("attic", A, answer(rcode=NXDOMAIN)),
        ("old", A, answer(rcode=NXDOMAIN)),
        ("v4.attic", A, answer(rcode=NXDOMAIN)),
        ("v4", A, answer(rcode=NXDOMAIN)),
        ("git.forge", A, answer("192.0.2.1")),
        ("v6.git.forge", AAAA, answer("2001:db8::1")),
        ("web.forge", A, answer("192.0.2.2")),
        ("web.forge", AAAA, answer()),
        ("none.forge", A, answer()),
        ("other.forge", A, answer(rcode=NXDOMAIN)),
    ],
)
def test_what_is_right_in_a_cluster_at_rest(name: str, rtype: int, right: Answer) -> None:
    """One answer is right for each name and type, and another is not."""
    oracle = Oracle(FIRST, [])
    assert oracle.judge(name, rtype, right, 1.0, 1.0).right
    for wrong in (answer("192.0.2.99"), answer(rcode=2), answer(rcode=NOERROR if right.rcode else NXDOMAIN)):
        assert not oracle.judge(name, rtype, wrong, 1.0, 1.0).right


BOTH, ONE, TWO, NONE = (answer(*each) for each in (("192.0.2.1", "192.0.2.2"), ("192.0.2.1",), ("192.0.2.2",), ()))


def test_a_view_may_be_seen_from_its_request_until_the_lag_limit_after_the_next_was_acknowledged() -> None:
    """Before, it is a lie; later, it is too old; how late it was is told."""
    change = Change(7, 10.0, 10.2, "two", Node("home", "192.0.2.2", ready=False))
    oracle = Oracle(FIRST, [change], lag_limit=0.5)

    def late(seen: Answer, begin: float, end: float) -> float | None:
        found = oracle.judge("home", A, seen, begin, end)
        return found.late if found.right else None

    assert late(ONE, 9.8, 9.9) is None
    assert late(ONE, 9.9, 10.1) == 0.0
    assert late(ONE, 99.0, 99.0) == 0.0
    assert late(BOTH, 10.1, 10.2) == 0.0
    assert late(BOTH, 10.6, 10.7) == pytest.approx(0.4)
    assert late(BOTH, 10.8, 10.9) is None


def test_a_machine_without_a_processor_to_give_excuses_what_is_late() -> None:
    """For as long as it had none, and not what was never right."""
    oracle = Oracle(FIRST, [Change(7, 10.0, 10.2, "two", Node("home", "", ready=False))], lag_limit=0.5)
    stalls = Stalls()
    stalls.note([(1.0, 9.0), (10.3, 0.2), (10.6, 0.1)])
    assert stalls.during(8.0, 10.7) == pytest.approx(0.3)
    assert stalls.during(10.3, 10.6) == pytest.approx(0.2)
    for slack, seen, right in ((0.0, BOTH, False), (0.3, BOTH, True), (9.0, TWO, False)):
        assert oracle.judge("home", A, seen, 10.9, 11.0, slack=slack).right is right


def test_changes_are_seen_in_their_order() -> None:
    """Of two that run at the same time the later one by revision is not seen without the earlier one."""
    changes = [
        Change(9, 10.0, 10.4, "two", Node("home", "192.0.2.2", ready=False)),
        Change(8, 10.1, 10.2, "one", Node("home", "192.0.2.1", ready=False)),
    ]
    oracle = Oracle(FIRST, changes, lag_limit=0.1)
    seen = [oracle.judge("home", A, each, 10.1, 10.4).right for each in (BOTH, TWO, ONE, NONE)]
    assert seen == [True, True, False, True]


def test_nodes_and_slices_of_a_service_may_be_seen_one_before_the_other() -> None:
    """They come by watches of their own."""
    changes = [
        Change(8, 10.0, 10.1, "git-1", Slice("git.forge", (Endpoint("two"),))),
        Change(9, 10.2, 10.3, "two", Node("home", "192.0.2.9")),
        Change(10, 20.0, 20.1, "git.forge", now=False),
    ]
    oracle = Oracle(FIRST, changes, lag_limit=0.5)
    for seen, right in ((ONE, True), (TWO, True), (answer("192.0.2.9"), True), (BOTH, False)):
        assert oracle.judge("git.forge", A, seen, 10.2, 10.3).right is right
    assert not oracle.judge("git.forge", A, ONE, 10.7, 10.8).right
    assert oracle.judge("git.forge", A, answer(rcode=NXDOMAIN), 21.0, 21.0).right


def test_an_area_comes_and_goes_with_who_lists_it() -> None:
    """NXDOMAIN before the first and after the last; a node that left one no longer counts there."""
    changes = [
        Change(8, 10.0, 10.1, "new", Node("attic", "192.0.2.8")),
        Change(9, 20.0, 20.1, "new", Node("cloud", "192.0.2.8")),
    ]
    oracle = Oracle(FIRST, changes)
    nothing = answer(rcode=NXDOMAIN)
    for moment, attic, cloud in ((5.0, nothing, ONE), (15.0, answer("192.0.2.8"), ONE), (25.0, nothing, None)):
        assert oracle.judge("attic", A, attic, moment, moment).right
        assert oracle.judge("cloud", A, cloud or answer("192.0.2.1", "192.0.2.8"), moment, moment).right


def _response(**flags: bool) -> tuple[bytes, dns.message.Message]:
    query = make_query("Home.nodes.test", A, edns=flags.pop("edns", True))
    response = dns.message.make_response(dns.message.from_wire(query))
    response.flags |= dns.flags.AA
    response.answer.append(dns.rrset.from_text("Home.nodes.test.", 30, "IN", "A", "192.0.2.1", "192.0.2.2"))
    return query, response


def test_a_right_response_is_read() -> None:
    """Its code and addresses, and no fault; a truncated one says so."""
    query, response = _response()
    assert read_answer(query, response.to_wire(), 30) == BOTH
    response.flags |= dns.flags.TC
    assert read_answer(query, response.to_wire(), 30).is_truncated


def test_faults_of_a_response_are_told() -> None:
    """Another question, another TTL, cut off, no EDNS, no authority, no SOA beside nothing."""
    query, response = _response()
    assert read_answer(make_query("home.nodes.test", A), response.to_wire(), 30).fault
    assert read_answer(query, response.to_wire(), 31).fault
    assert read_answer(query, response.to_wire()[:-5], 30).fault
    assert read_answer(query, response.to_wire() + b"\0", 30).fault
    response.flags &= ~dns.flags.AA
    assert read_answer(query, response.to_wire(), 30).fault
    query, response = _response()
    response.use_edns(False)
    assert read_answer(query, response.to_wire(), 30).fault
    query, response = _response()
    response.answer.clear()
    assert read_answer(query, response.to_wire(), 30).fault == "nothing, and no SOA"
