"""Receivers that take messages, refuse them and hang."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Collection

import pytest

from homing.effects.clock import ManualClock, settle
from homing.errors import ConfigError, DeliveryError
from homing.messages.by_apprise import Apprise
from homing.messages.outbox import MAX_BATCHES, MAX_WAITING, SHOWN, TRIES, Outbox, digest, read_receivers, told
from homing.messages.watch import Message
from tests.messages.receiver import receiving


class Post:
    """An outbox, its receivers, and what they got."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.urls: list[str] = ["json://good"]
        self.got: dict[str, list[str]] = {}
        self.tries: Counter[str] = Counter()
        self.refusing: set[str] = set()
        self.hanging: set[str] = set()
        self.counted: Counter[tuple[str, str]] = Counter()
        self.problem = False
        self.outbox = Outbox(
            self._receivers, self._deliver, self._count, gather=lambda: 10.0, clock=self.clock, chance=random.Random(1)
        )

    def _receivers(self) -> list[str]:
        if self.problem:
            raise ConfigError("messages.urls_file", "cannot read it")
        return self.urls

    async def _deliver(self, url: str, title: str, text: str) -> None:
        self.tries[url] += 1
        if url in self.hanging:
            await asyncio.Event().wait()
        if url in self.refusing:
            raise DeliveryError("refused")
        self.got.setdefault(url, []).append(text)

    def _count(self, messages: Collection[Message], result: str) -> None:
        for message in messages:
            self.counted[message.kind, result] += 1

    async def put(self, *texts: str) -> None:
        """Tell something."""
        for text in texts:
            self.outbox.put(Message(self.clock.time(), "address", "WAN IPv4", text))
        await settle()


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    made = Post()
    task = asyncio.create_task(made.outbox.run())
    await settle()
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_several_news_are_one_message(post: Post) -> None:
    """Those that come within the time of gathering; the next ones are another."""
    await post.put("first")
    await post.clock.advance(5)
    await post.put("second")
    assert not post.got
    await post.clock.advance(5)
    (text,) = post.got["json://good"]
    assert [line.split("  ")[1] for line in text.splitlines()] == ["first", "second"]
    await post.put("third")
    await post.clock.advance(10)
    assert len(post.got["json://good"]) == 2
    assert post.counted == {("address", "sent"): 3}


async def test_a_hanging_receiver_holds_up_itself_only(post: Post) -> None:
    """The others get each message; what no longer fits in its queue is dropped and counted."""
    post.urls = ["json://hang", "json://good"]
    post.hanging = {"json://hang"}
    for number in range(MAX_BATCHES + 3):
        await post.put(f"news {number}")
        await post.clock.advance(10)
    assert len(post.got["json://good"]) == MAX_BATCHES + 3
    assert post.tries["json://hang"] == 1
    assert post.counted["address", "dropped"] == 2


async def test_a_refusing_receiver_is_asked_again_and_then_given_up(post: Post) -> None:
    """Ever more rarely; one that takes it at last gets all."""
    post.refusing = {"json://good"}
    await post.put("first")
    await post.clock.advance(10)
    assert post.tries["json://good"] == 1
    await post.clock.advance(30)
    assert post.tries["json://good"] == 2
    await post.clock.advance(1200)
    assert post.tries["json://good"] == TRIES
    assert post.counted == {("address", "failed"): 1}
    await post.put("second", "third")
    await post.clock.advance(20)
    post.refusing.clear()
    await post.clock.advance(30)
    (text,) = post.got["json://good"]
    assert len(text.splitlines()) == 2
    assert post.counted["address", "sent"] == 2


async def test_receivers_are_read_anew(post: Post) -> None:
    """A changed file counts at once; one that cannot be read costs the message, and nothing else."""
    await post.put("first")
    await post.clock.advance(10)
    post.urls = ["json://other"]
    await post.put("second")
    await post.clock.advance(10)
    post.problem = True
    await post.put("third")
    await post.clock.advance(10)
    post.problem = False
    await post.put("fourth")
    await post.clock.advance(10)
    assert {url: len(texts) for url, texts in post.got.items()} == {"json://good": 1, "json://other": 2}
    assert post.counted == {("address", "sent"): 3, ("address", "failed"): 1}


async def test_a_flood_of_news_is_bounded(post: Post) -> None:
    """The first of them are told, in one message with the number of the rest."""
    await post.put(*(str(number) for number in range(MAX_WAITING + 100)))
    assert post.counted == {("address", "dropped"): 100}
    await post.clock.advance(10)
    (text,) = post.got["json://good"]
    assert len(text.splitlines()) == SHOWN + 1
    assert text.endswith(f"and {MAX_WAITING - SHOWN} more")


def test_a_receiver_is_called_by_its_kind_only() -> None:
    """A URL holds secrets."""
    assert told(2, "mailto://me:hush@example.org") == "2 (mailto)"
    assert told(1, "hush-without-a-scheme") == "1"
    assert told(1, "hu sh://token") == "1"


def test_the_file_of_receivers_has_one_a_line() -> None:
    """Comments and empty lines aside."""
    assert read_receivers("# home\njson://a\n\n  mailto://b \n#json://c") == ("json://a", "mailto://b")


def test_the_title_says_what_happened() -> None:
    """One kind of several news is named once."""
    address = Message(0.0, "address", "WAN IPv4", "told")
    title, _ = digest([address])
    assert title.endswith(": WAN IPv4 address")
    title, _ = digest([address, Message(0.0, "lockout", "strato", "told"), address])
    assert title.endswith(": address, lockout")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise's own
async def test_apprise_delivers_to_a_real_receiver() -> None:
    """What is refused, hangs or is no URL is said without the URL; after a hang nothing more is sent there."""
    with receiving() as receiver:
        here = f"127.0.0.1:{receiver.port}"
        deliver = Apprise(timeout=0.5).deliver
        await Apprise().deliver(f"json://me:hush@{here}/good", "title", "<b>text</b> & more")
        ((path, body),) = receiver.posts
        assert (path, body["title"], body["message"]) == ("/good", "title", "<b>text</b> & more")
        problems: list[str] = []
        for url in (f"json://hush@{here}/broken", f"json://hush@{here}/hang", f"json://hush@{here}/hang", "hush"):
            with pytest.raises(DeliveryError) as caught:
                await deliver(url, "title", "text")
            problems.append(str(caught.value))
        assert "refused" in problems[0]
        assert "no answer within 0.5 s" in problems[1]
        assert "still hangs" in problems[2]
        assert "none that apprise knows" in problems[3]
        assert "hush" not in " ".join(problems)
        assert len([path for path, _ in receiver.posts if path == "/hang"]) == 1
