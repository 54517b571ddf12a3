"""What is worth a message."""

from __future__ import annotations

from homing.messages.watch import MAX_KNOWN, Message, Situation, Trouble, Watch

DISPUTED: Trouble = ("disputed", "WAN IPv4")
LOCKED: Trouble = ("lockout", "strato")
DRIFT: Trouble = ("drift", "www.example.org")
FAILED: Trouble = ("failed", "www.example.org at gandi")


class House:
    """A watch, and what it told at which second."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.look(0)

    def look(self, at: float, *troubles: Trouble, wan: str = "192.0.2.1", unsure: Trouble | None = None) -> list[str]:
        """The kinds and texts told."""
        situation = Situation(
            {"WAN IPv4": wan} if wan else {},
            {one: f"trouble {one[0]}" for one in troubles},
            frozenset((unsure,) if unsure else ()),
        )
        return [f"{one.kind}: {one.text}" for one in self.told(at, situation)]

    def told(self, at: float, situation: Situation) -> tuple[Message, ...]:
        """The news."""
        return self.watch.look(at, situation, repeat=3600, failed_after=900)


def test_a_new_address_is_told_once() -> None:
    """With the one before it; an address that is not seen for a while is no news."""
    house = House()
    assert house.look(10, wan="192.0.2.2") == ["address: WAN IPv4 is 192.0.2.2 now; it was 192.0.2.1"]
    assert house.look(20, wan="192.0.2.2") == []
    assert house.look(30, wan="") == []
    assert house.look(40, wan="192.0.2.2") == []


def test_an_address_that_changes_again_and_again_is_told_once_an_hour() -> None:
    """The last one, from the one that was told before; one that came back is no news at all."""
    house = House()
    house.look(10, wan="192.0.2.2")
    for number in range(3, 50):
        assert house.look(10 + number, wan=f"192.0.2.{number}") == []
    assert house.look(3610, wan="192.0.2.99") == ["address: WAN IPv4 is 192.0.2.99 now; it was 192.0.2.2"]
    house.look(3700, wan="192.0.2.5")
    assert house.look(9000, wan="192.0.2.99") == []


def test_the_first_address_is_no_change() -> None:
    """Nothing was there before it."""
    watch = Watch()
    look = {"repeat": 3600.0, "failed_after": 900.0}
    assert watch.look(0, Situation(), **look) == ()
    assert watch.look(1, Situation({"WAN IPv6": "2001:db8::1"}), **look) == ()
    (news,) = watch.look(2, Situation({"WAN IPv6": "2001:db8::2"}), **look)
    assert news.text == "WAN IPv6 is 2001:db8::2 now; it was 2001:db8::1"


def test_a_trouble_and_its_end_are_told_once() -> None:
    """However long it lasts."""
    house = House()
    assert house.look(10, LOCKED) == ["lockout: trouble lockout"]
    for hours in range(1, 30):
        assert house.look(hours * 3600, LOCKED) == []
    assert house.look(200_000) == ["recovered: strato: the pause is over"]
    assert house.look(200_001) == []


def test_a_trouble_that_comes_and_goes_is_told_once_an_hour() -> None:
    """And so is its end."""
    house = House()
    told = [text for at in range(10, 3600, 10) for text in house.look(at, *([DISPUTED] if at % 20 else []))]
    assert told == ["disputed: trouble disputed", "recovered: WAN IPv4: observers agree again"]
    assert house.look(3620, DISPUTED) == ["disputed: trouble disputed"]


def test_what_cannot_be_seen_is_not_over() -> None:
    """Law 1: a round that nobody answered does not end a dispute."""
    house = House()
    house.look(10, DISPUTED)
    assert house.look(20, unsure=DISPUTED) == []
    assert house.look(30, DISPUTED) == []
    assert house.look(40) == ["recovered: WAN IPv4: observers agree again"]


def test_a_failure_is_told_when_it_lasts() -> None:
    """One that is made good within its time is not, and neither is its end."""
    house = House()
    assert house.look(10, FAILED) == []
    assert house.look(500) == []
    assert house.look(1000, FAILED) == []
    assert house.look(1890, FAILED) == []
    assert house.look(1901, FAILED) == ["failed: trouble failed"]
    assert house.look(1910) == ["recovered: www.example.org at gandi: works again"]


def test_what_happens_is_told_once_an_hour() -> None:
    """It has no end; what had happened before the first look is told by nobody."""
    watch = Watch()

    def told(at: float, number: float) -> list[str]:
        situation = Situation(happened={DRIFT: (number, f"changed by somebody else, {number:g}")})
        return [f"{one.kind}: {one.text}" for one in watch.look(at, situation, repeat=3600, failed_after=900)]

    assert told(0, 1) == []
    assert told(10, 1) == []
    assert told(20, 2) == ["drift: changed by somebody else, 2"]
    assert told(30, 3) == []
    assert told(3000, 3) == []
    assert told(3700, 3) == []
    assert told(3710, 4) == ["drift: changed by somebody else, 4"]
    assert watch.look(9000, Situation(), repeat=3600, failed_after=900) == ()


def test_a_restart_tells_nothing_again() -> None:
    """What there is at the first look was told before; its end is told."""
    watch = Watch()
    look = {"repeat": 3600.0, "failed_after": 900.0}
    assert watch.look(0, Situation({"WAN IPv4": "192.0.2.1"}, {LOCKED: "badauth"}), **look) == ()
    assert watch.look(10, Situation({"WAN IPv4": "192.0.2.1"}, {LOCKED: "badauth"}), **look) == ()
    (news,) = watch.look(20, Situation({"WAN IPv4": "192.0.2.1"}), **look)
    assert news.kind == "recovered"


def test_what_is_kept_in_mind_is_bounded() -> None:
    """A flood of troubles does not grow without end."""
    house = House()
    many = {("lockout", str(number)): "told" for number in range(MAX_KNOWN + 500)}
    assert len(house.told(10, Situation({}, many))) == MAX_KNOWN  # type: ignore[arg-type]
