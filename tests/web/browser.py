"""A real browser without a window: Debian's chromium, driven by its chromedriver."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

WIDE, PHONE = (1280, 900), (390, 844)
"""CSS pixels of a desktop's window and of a phone."""

MOST = 200_000
"""Bytes of a picture."""


@contextlib.contextmanager
def browser(folder: Path, *arguments: str) -> Iterator[Chrome]:
    """A browser that keeps what it keeps in ``folder``; the test is skipped with a reason where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("there is no chromium: run tests/install-peers")
    options = Options()
    options.binary_location = program
    given = ("--headless=new", "--hide-scrollbars", "--disable-gpu", f"--user-data-dir={folder}", *arguments)
    for argument in (*given, *(("--no-sandbox",) if os.geteuid() == 0 else ())):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        chrome.set_window_size(*WIDE)
        chrome.set_page_load_timeout(20)
        yield chrome
    finally:
        chrome.quit()


def command(chrome: Chrome, name: str, **parameters: Any) -> None:
    """A command of the browser's own protocol."""
    chrome.execute_cdp_cmd(name, parameters)


def as_phone(chrome: Chrome, *, scale: float = 1.0, height: int = PHONE[1]) -> None:
    """Show pages as a phone does."""
    metrics = {"width": PHONE[0], "height": height, "deviceScaleFactor": scale, "mobile": True}
    command(chrome, "Emulation.setDeviceMetricsOverride", **metrics)


def in_colours(chrome: Chrome, scheme: str) -> None:
    """As a system that is set to ``light`` or ``dark``."""
    command(chrome, "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


def console(chrome: Chrome) -> list[dict[str, Any]]:
    """What the console told since the last look."""
    told: list[dict[str, Any]] = chrome.get_log("browser")  # type: ignore[no-untyped-call]
    return told


def run(chrome: Chrome, script: str, *values: object) -> Any:
    """What a script says at one moment, so that nothing can be replaced meanwhile."""
    return chrome.execute_script(script, *values)


def text(chrome: Chrome, selector: str, what: str = "innerText") -> str:
    """The text of an element; empty when it is not there."""
    return str(run(chrome, "return (document.querySelector(arguments[0]) ?? {})[arguments[1]] ?? ''", selector, what))


def as_wide(chrome: Chrome, height: int) -> None:
    """Show pages as on a desk, this high."""
    metrics = {"width": 1200, "height": height, "deviceScaleFactor": 1, "mobile": False}
    command(chrome, "Emulation.setDeviceMetricsOverride", **metrics)


def picture(chrome: Chrome, path: Path) -> None:
    """Keep what the browser shows. Raises ValueError when that takes too much room."""
    chrome.save_screenshot(str(path))
    size = path.stat().st_size
    sys.stdout.write(f"{path} {size:,} bytes\n")
    if size > MOST:
        raise ValueError(f"{path} is larger than {MOST:,} bytes")
