"""The page in a real browser: live, without JavaScript, by keyboard, on a phone, for people who cannot see it well."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from homing.effects.clock import SystemClock
from homing.model.address import Family, parse_address
from homing.standins.internet import StandInInternet
from homing.store import Update
from homing.web import live
from tests.app.running import HOME, THREE, Daemon, House, internet, serving, settings
from tests.waiting import until
from tests.web.axe import axe
from tests.web.browser import as_phone, browser, command, console, in_colours, run, text
from tests.web.serving import HOSTILE, STATE, Site, name, served

pytestmark = pytest.mark.browser

SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def clean(chrome: Chrome) -> Iterator[Chrome]:
    """The browser as it was; at the end its console has told nothing bad."""
    console(chrome)
    yield chrome
    told = console(chrome)
    for reset in ("Emulation.clearDeviceMetricsOverride", "Emulation.setEmulatedMedia"):
        command(chrome, reset)
    command(chrome, "Emulation.setScriptExecutionDisabled", value=False)
    chrome.get("about:blank")
    assert [line for line in told if line["level"] != "INFO"] == []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The page over a state with everything in it, at the present time, served beside this thread."""
    with serving(served(state=tmp_path / "state")) as found:
        now = SystemClock().time()
        assert found.store is not None
        for hours in range(20, 0, -4):
            found.store.record_good(Family.V4, parse_address(f"8.8.8.{hours}"), now - 3600 * hours, "moved")
            found.store.record_update(
                Update(now - 3600 * hours, "gandi", "www.example.org", "A", hours != 8, "ok", "", 0.2)
            )
        found.state = msgspec.structs.replace(STATE, at=now, started=now - 7200)
        yield found


def rows(chrome: Chrome) -> list[str]:
    """The names that are shown."""
    found: list[str] = run(
        chrome,
        "return [...document.querySelectorAll('#part-names tbody tr')].filter(row => row.checkVisibility())"
        ".map(row => row.querySelector('code')?.innerText)",
    )
    return found


@pytest.fixture(scope="module")
def world() -> Iterator[StandInInternet]:
    with internet() as found:
        yield found


@pytest.fixture
def daemon(world: StandInInternet, tmp_path: Path) -> Iterator[Daemon]:
    world.move(HOME)
    with House(tmp_path, settings(world) + THREE).up() as found:
        yield found


def test_the_page_follows_a_new_address_by_itself(clean: Chrome, world: StandInInternet, daemon: Daemon) -> None:
    """Names, address, votes, changes and timeline, without being loaded again; a screen reader is told."""
    clean.get(daemon.web + "/")
    until(lambda: text(clean, "h1") == "All 3 names are right", 15, "all is right")
    assert text(clean, ".address") == str(HOME)
    run(clean, "window.kept = true")
    moved = IPv4Address("203.0.113.77")
    world.move(moved)
    until(lambda: text(clean, ".address") == str(moved), 15, "the headline tells the new address")
    until(lambda: text(clean, "h1") == "All 3 names are right", 15, "all is right again")
    for part in ("names", "wan", "changes"):
        until(lambda part=part: str(moved) in text(clean, f"#part-{part}"), 5, part)  # type: ignore[misc]
    until(lambda: str(moved) in text(clean, "#part-timeline .now title", "textContent"), 5, "timeline")
    assert len(clean.find_elements(By.CSS_SELECTOR, "#part-timeline .span")) == 2
    assert run(clean, "return window.kept")
    assert text(clean, "#live") == "live"
    news = clean.find_element(By.ID, "news")
    assert news.get_attribute("aria-live") == "polite"
    assert news.get_attribute("textContent") == f"All 3 names are right, {moved}"
    assert clean.title == "All 3 names are right · Homing"


def test_the_page_tells_when_it_is_no_longer_live(chrome: Chrome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old facts are not shown as new ones; once the server is there again the page is live by itself."""
    monkeypatch.setattr(live, "RETRY", 300)
    with serving(served()) as site:
        chrome.get(site.base)
        until(lambda: text(chrome, "#live") == "live", 5, "live")
        base = site.base
    until(lambda: text(chrome, "#live") == "reconnecting", 5, "told")
    run(chrome, "window.kept = true")
    with serving(served(port=int(base.rpartition(":")[2]))) as site:
        until(lambda: text(chrome, "#live") == "live", 20, "live again")
        assert run(chrome, "return window.kept")
        chrome.get("about:blank")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True])
def test_axe_finds_nothing_serious(clean: Chrome, site: Site, scheme: str, phone: bool) -> None:
    """Contrast, names, roles, headings and landmarks, in both colours, wide and narrow."""
    in_colours(clean, scheme)
    if phone:
        as_phone(clean)
    clean.get(site.base)
    run(clean, axe())
    found: dict[str, Any] = clean.execute_async_script(
        "axe.run(document, {resultTypes: ['violations']}).then(arguments[0])"
    )
    told = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]]
    assert [one for one in found["violations"] if one["impact"] in SERIOUS] == [], told
    assert told == []
    assert len(found["passes"]) > 10
    dark = run(clean, "return getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(18, 23, 26)") == (scheme == "dark")


def test_the_choice_of_colours_is_kept(clean: Chrome, site: Site) -> None:
    """It wins over the system's, and the next page has it too."""
    ground = "return getComputedStyle(document.body).backgroundColor"
    in_colours(clean, "light")
    clean.get(site.base)
    clean.find_element(By.CSS_SELECTOR, "label:has(#theme-dark)").click()
    assert clean.execute_script(ground) == "rgb(18, 23, 26)"
    clean.get(site.base)
    assert clean.execute_script(ground) == "rgb(18, 23, 26)"
    clean.find_element(By.CSS_SELECTOR, "label:has(#theme-auto)").click()
    assert clean.execute_script(ground) == "rgb(244, 246, 247)"


def test_a_hostile_name_is_text(clean: Chrome, site: Site) -> None:
    """Neither in the page nor in what comes live does anything of it run or load."""
    hostile = name(fqdn=HOSTILE, provider=HOSTILE, detail=HOSTILE, owner=HOSTILE, wanted=(HOSTILE,), state="failed")
    site.state = msgspec.structs.replace(site.state, names=(hostile,))
    clean.get(f"{site.base}/?q=%22%3E%3Cscript%3E")
    clean.get(site.base)
    assert HOSTILE in text(clean, "#part-names")
    later = msgspec.structs.replace(hostile, fqdn=f"later{HOSTILE}")
    site.state = msgspec.structs.replace(site.state, names=(later,), host=HOSTILE, trouble=(HOSTILE,))
    until(lambda: f"later{HOSTILE}" in text(clean, "#part-names"), 5, "live")
    assert "broken" not in clean.title
    assert clean.find_elements(By.CSS_SELECTOR, "img, #part-names script") == []


def test_the_page_works_without_javascript(clean: Chrome, site: Site) -> None:
    """Everything is told, ranges are links, the filter is a form, and the page loads itself again."""
    command(clean, "Emulation.setScriptExecutionDisabled", value=True)
    clean.get(site.base)
    for part in ("headline", "names", "wan", "sites", "zones", "providers", "changes"):
        assert text(clean, f"#part-{part}"), part
    assert len(clean.find_elements(By.CSS_SELECTOR, "#part-timeline .span")) == 5
    clean.find_element(By.LINK_TEXT, "7 days").click()
    until(lambda: "range=7d" in clean.current_url, 5, "the link")
    assert clean.find_element(By.CSS_SELECTOR, "nav [aria-current]").text == "7 days"
    clean.find_element(By.ID, "q").send_keys("MAIL", Keys.ENTER)
    until(lambda: "q=MAIL" in clean.current_url, 5, "the form")
    assert "range=7d" in clean.current_url
    assert rows(clean) == ["mail.example.org"]
    assert len(clean.find_elements(By.CSS_SELECTOR, "noscript meta[http-equiv=refresh]")) == 1


def test_the_filter_works_as_one_types(clean: Chrome, site: Site) -> None:
    """Also on what comes live later."""
    clean.get(site.base)
    assert rows(clean) == ["mail.example.org", "www.example.org"]
    clean.find_element(By.ID, "q").send_keys("www")
    assert rows(clean) == ["www.example.org"]
    site.state = msgspec.structs.replace(site.state, names=(*site.state.names, name(fqdn="www2.example.org")))
    until(lambda: rows(clean) == ["www.example.org", "www2.example.org"], 5, "live")
    clean.find_element(By.ID, "q").send_keys("x")
    assert rows(clean) == []
    assert "No name matches" in text(clean, "#part-names")
    clean.find_element(By.ID, "q").clear()
    clean.find_element(By.ID, "wrong").click()
    until(lambda: rows(clean) == ["mail.example.org"], 5, "what is not right")


def test_the_filter_finds_names_that_are_not_shown(clean: Chrome, site: Site) -> None:
    """Of a thousand names the page shows some; the server looks through all."""
    many = tuple(name(fqdn=f"n{number}.example.org") for number in range(1000))
    site.state = msgspec.structs.replace(site.state, names=many)
    clean.get(site.base)
    assert len(clean.find_elements(By.CSS_SELECTOR, "#part-names tbody tr")) == 200
    assert "800 more names" in text(clean, "#part-names .more")
    clean.find_element(By.ID, "q").send_keys("n998.")
    until(lambda: rows(clean) == ["n998.example.org"], 5, "found")


def test_the_keyboard_reaches_everything(clean: Chrome, site: Site) -> None:
    """Tab by tab, the first being the way past the header, and where one is can be seen."""
    clean.get(site.base)
    reached: list[str] = []
    for _ in range(20):
        ActionChains(clean).send_keys(Keys.TAB).perform()
        told: tuple[str, str] | None = clean.execute_script(
            "const one = document.activeElement; if (one === document.body) return null;"
            "const seen = one.type === 'radio' ? one.parentElement : one;"
            "return [one.id || one.textContent.trim(), getComputedStyle(seen).outlineStyle]"
        )
        if told is None:
            break
        reached.append(told[0])
        assert told[1] != "none", told[0]
    assert reached == ["Skip to the names", "theme-auto", "Which, and what to do", "24 hours", "7 days", "90 days", "q",
                       "wrong", "Filter", "quiet-4-told", "raw", "API", "metrics"]  # fmt: skip
    clean.find_element(By.CSS_SELECTOR, ".skip").send_keys(Keys.ENTER)
    assert clean.switch_to.active_element.get_attribute("id") == "main"


def test_what_was_opened_stays_open(clean: Chrome, site: Site) -> None:
    """Observers that told nothing are folded away; news do not fold them again, nor take the keyboard away."""
    clean.get(site.base)
    assert HOSTILE not in text(clean, "#part-wan")
    clean.find_element(By.ID, "quiet-4-told").click()
    assert HOSTILE in text(clean, "#part-wan")
    family = msgspec.structs.replace(site.state.addresses[0], reason="2 of 2 operators say it")
    site.state = msgspec.structs.replace(site.state, addresses=(family,))
    until(lambda: "2 of 2 operators" in text(clean, "#part-wan"), 5, "live")
    assert HOSTILE in text(clean, "#part-wan")
    assert clean.switch_to.active_element.get_attribute("id") == "quiet-4-told"


@pytest.mark.parametrize("width", [390, 700, 1000, 1160, 1280])
def test_nothing_sticks_out(clean: Chrome, site: Site, width: int) -> None:
    """Nor has one to scroll sideways, not even with long names and addresses."""
    long = name(fqdn=f"{'a' * 63}.{'b' * 63}.example.org", published=("2001:db8:1111:2222:3333:4444:5555:6666",) * 3)
    far = msgspec.structs.replace(STATE.addresses[0], family=6, address="2001:db8:1111:2222:3333:4444:5555:6666")
    sites = (*STATE.sites, msgspec.structs.replace(STATE.sites[0], name="far-away", addresses=(far,)))
    site.state = msgspec.structs.replace(site.state, names=(*site.state.names, long), sites=sites)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    command(clean, "Emulation.setDeviceMetricsOverride", **metrics)
    clean.get(site.base)
    assert run(clean, "return document.documentElement.scrollWidth") <= width
    told: list[str] = run(
        clean,
        "return [...document.querySelectorAll('.card')].filter(one => one.scrollWidth > one.clientWidth)"
        ".map(one => one.querySelector('h2').innerText)",
    )
    assert told == []


def test_a_page_that_nobody_sees_gives_its_connection_back(clean: Chrome, site: Site) -> None:
    """A browser has only a few for one server: many tabs would use them all up."""
    clean.get(site.base)
    until(lambda: text(clean, "#live") == "live", 5, "live")
    first = clean.current_window_handle
    for _ in range(6):
        clean.switch_to.new_window("tab")
        clean.get(site.base)
    assert text(clean, "h1")
    for handle in clean.window_handles:
        if handle != first:
            clean.switch_to.window(handle)
            clean.close()
    clean.switch_to.window(first)
