"""Delivery by apprise, which knows a hundred and more services. It blocks and may hang, so a thread has it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Callable
from typing import Any

from homing.effects.thread import in_thread
from homing.errors import DeliveryError

TIMEOUT = 30.0
"""Seconds that one delivery may take."""

UNKNOWN = "its URL is none that apprise knows, or its plugin misses a package"

REMEDY = "pip install 'homing[messages]'"


def installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("apprise") is not None


class Apprise:
    """Delivers to one receiver at a time each; to one whose last delivery still hangs nothing more is sent."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._hanging: dict[str, asyncio.Future[str]] = {}

    async def deliver(self, url: str, title: str, text: str) -> None:
        """Deliver a message. Raises DeliveryError."""
        self._hanging = {key: future for key, future in self._hanging.items() if not future.done()}
        if url in self._hanging:
            raise DeliveryError("the last message still hangs there")
        sending = in_thread(lambda: _send(url, title, text), "message")
        await asyncio.wait([sending], timeout=self._timeout)
        if not sending.done():
            self._hanging[url] = sending
            raise DeliveryError(f"no answer within {self._timeout:g} s")
        if problem := sending.result():
            raise DeliveryError(problem)


def is_known(url: str) -> bool:
    """Whether apprise makes something of a URL; nothing is sent. Takes a second the first time."""
    try:
        return _receiver(url) is not None
    except Exception:  # noqa: BLE001 - a hundred plugins by others: whatever they raise is that they cannot use it
        return False


def _receiver(url: str) -> Any:
    for name in ("apprise", "urllib3"):  # they quote URLs
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.handlers = [logging.NullHandler()]
    import apprise

    asset = apprise.AppriseAsset(app_id="Homing", app_desc="Homing", app_url="https://homing.dev")
    make: Callable[..., Any] = apprise.Apprise.instantiate  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return make(url, asset=asset)


def _send(url: str, title: str, text: str) -> str:
    """Send, and say what went wrong; in no case with words of the library, which may quote the URL."""
    try:
        receiver = _receiver(url)
        if receiver is None:
            return UNKNOWN
        import apprise

        taken = receiver.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT)
    except Exception as error:  # noqa: BLE001 - a hundred plugins by others: whatever they raise is that it was not sent
        return f"its plugin failed ({type(error).__name__})"
    return "" if taken else "it was refused, or nobody answers"
