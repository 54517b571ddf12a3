"""Signs of life."""

from __future__ import annotations

from collections import Counter

import pytest

from homing.effects.http import HttpClient
from homing.errors import ConfigError
from homing.messages.ping import PAUSE, Ping, ping_url, with_fail
from tests.messages.receiver import receiving


async def test_good_turns_are_told_at_most_once_a_minute() -> None:
    """Nothing without a new turn; /fail after a bad one; what did not arrive is sent again."""
    counted: Counter[str] = Counter()
    with receiving() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/uuid"
        async with HttpClient() as http:
            ping = Ping(http, lambda result: counted.update([result]))

            async def turn(now: float, ended: float, *, failing: bool = False) -> None:
                ping.consider(now, url, ended, failing=failing)
                if ping._sending is not None:
                    await ping._sending

            await turn(0, 0.0)
            assert receiver.gets == []
            await turn(1, 1000.0)
            await turn(1 + PAUSE / 2, 1001.0)
            await turn(2 + PAUSE, 1000.0)
            assert receiver.gets == ["/uuid"]
            await turn(3 + PAUSE, 1060.0, failing=True)
            assert receiver.gets == ["/uuid", "/uuid/fail"]
            receiver.broken = {"/uuid"}
            await turn(3 + 2 * PAUSE, 1100.0)
            receiver.broken = set()
            await turn(4 + 2 * PAUSE, 1100.0)
            await turn(4 + 3 * PAUSE, 1100.0)
            assert receiver.gets == ["/uuid", "/uuid/fail", "/uuid", "/uuid"]
            await ping.aclose()
    assert counted == {"ok": 3, "failed": 1}


@pytest.mark.parametrize("text", ["hush", "ftp://hush.example", "https://", "https://hu sh", "http://[hush"])
def test_what_is_no_url_is_told_without_it(text: str) -> None:
    """Who knows the URL can ping."""
    with pytest.raises(ConfigError) as caught:
        ping_url(text, "messages.ping_file")
    assert "hush" not in str(caught.value)
    assert "messages.ping_file" in str(caught.value)


def test_fail_goes_to_the_end_of_the_path() -> None:
    """Before parameters."""
    assert with_fail("https://hc-ping.com/uuid") == "https://hc-ping.com/uuid/fail"
    assert with_fail("https://hc-ping.com/key/slug?create=1") == "https://hc-ping.com/key/slug/fail?create=1"
