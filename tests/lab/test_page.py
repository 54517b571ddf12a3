"""The page in a real browser, while the router of the home in a box gets other addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.lab import layout
from tests.lab.household import WEB_PORT, Homing
from tests.lab.lab import Lab
from tests.lab.window import window
from tests.waiting import until
from tests.web.axe import axe
from tests.web.browser import as_phone, browser, command, console, text

pytestmark = [pytest.mark.lab, pytest.mark.browser]

PATIENCE = False
"""Strato takes more requests than the real one would."""


@pytest.fixture
def page(homing: Homing) -> Iterator[str]:
    """Where its page can be looked at."""
    with window(homing.lab.home, WEB_PORT) as url:
        yield url


@pytest.fixture
def chrome(page: str, tmp_path: Path) -> Iterator[Chrome]:
    """A browser whose console tells nothing bad until the end."""
    with browser(tmp_path) as found:
        yield found
        assert [line for line in console(found) if line["level"] != "INFO"] == []


def test_the_page_follows_the_router_without_being_loaded_again(
    lab: Lab, homing: Homing, page: str, chrome: Chrome
) -> None:
    """Headline, names, votes, changes and timeline; axe-core then finds nothing, wide and on a phone."""
    before, after = lab.wan_ipv4, layout.OTHER_WAN_IPV4
    chrome.get(page)
    until(lambda: text(chrome, "h1") == "All 5 names are right", 20, "all is right")
    assert text(chrome, ".address") == before
    chrome.execute_script("window.kept = true")
    lab.change_wan(ipv4=after)
    until(lambda: text(chrome, ".address") == after, 15, "the headline tells the new address")
    until(lambda: text(chrome, "h1") == "All 5 names are right", 20, "all is right again")
    for part in ("names", "wan", "changes"):
        until(lambda part=part: after in text(chrome, f"#part-{part}"), 5, part)  # type: ignore[misc]
    until(lambda: after in text(chrome, "#part-timeline .now title", "textContent"), 5, "the timeline")
    until(lambda: before in text(chrome, "#part-timeline .span title", "textContent"), 5, "the address before")
    assert chrome.execute_script("return window.kept")
    assert homing.all_hold(after, lab.home_ipv6)
    for phone in (False, True):
        if phone:
            as_phone(chrome)
        chrome.execute_script(axe())
        found: dict[str, Any] = chrome.execute_async_script("axe.run(document).then(arguments[0])")
        assert [(one["id"], one["impact"]) for one in found["violations"]] == []


def test_the_page_shows_the_router_without_javascript(lab: Lab, page: str, chrome: Chrome) -> None:
    """The page that the server sends tells the same; it asks to be loaded again by itself."""
    command(chrome, "Emulation.setScriptExecutionDisabled", value=True)
    moved = "84.17.55.5"
    lab.change_wan(ipv4=moved)

    def shown() -> bool:
        chrome.get(page)
        rows = chrome.find_elements(By.CSS_SELECTOR, "#part-names tbody tr")
        return len(rows) == 5 and all(moved in row.text and "in-sync" in row.text for row in rows)

    until(shown, 25, "every name with the new address")
    (now, *_) = chrome.find_elements(By.CSS_SELECTOR, "#part-timeline .now title")
    assert moved in str(now.get_attribute("textContent"))
    assert len(chrome.find_elements(By.CSS_SELECTOR, "noscript meta[http-equiv=refresh]")) == 1
