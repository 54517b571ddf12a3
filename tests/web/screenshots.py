"""The pictures of the page for the documentation, from a daemon whose WAN address moves: ``make screenshots``.

The ninety days before are made up: a connection that gets another address now and then, and a provider with a bad day.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from ipaddress import IPv4Address
from pathlib import Path

from selenium.webdriver import Chrome

from homing.model.address import Family, parse_address
from homing.store import Store, Update
from tests.app.running import GANDI, OWN, THREE, WWW, Daemon, House, internet, settings
from tests.waiting import until
from tests.web.browser import PHONE, as_phone, browser, command, in_colours

IMAGES = Path(__file__).parents[2] / "docs" / "images"

HOUR, DAY = 3600.0, 86400.0

MOST = 150_000
"""Bytes of a picture."""


def past(store: Store, now: float) -> IPv4Address:
    """Write the made-up past; gives the address that it ends with."""
    chance = random.Random(7)
    moments = [now - DAY * days - HOUR * chance.uniform(0, 20) for days in range(88, 1, -5)]
    moments += [now - HOUR * hours for hours in (19.2, 11.5, 2.4)]
    address = IPv4Address("203.0.113.10")
    for moment in moments:
        address = IPv4Address(f"203.0.113.{chance.randrange(11, 250)}")
        with store.together():
            store.record_good(Family.V4, parse_address(str(address)), moment, "3 of 3 operators say it")
            for fqdn, provider in ((WWW, "strato"), (GANDI, "gandi"), (OWN, "zone")):
                store.record_update(Update(moment + 1.2, provider, fqdn, f"A -> {address}", True, "ok", "", 0.3))
    for hours in (11.3, 11.0, 10.4):
        store.record_update(
            Update(now - HOUR * hours, "gandi", GANDI, "read", False, "http-503", "provider gandi: answers 503", 0.3)
        )
    return address


def ask_for(daemon: Daemon, seconds: float) -> None:
    """Ask its DNS server for a name, some forty times a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        daemon.answers(OWN)
        time.sleep(0.02)


def picture(chrome: Chrome, path: Path) -> None:
    """Keep what the browser shows."""
    chrome.save_screenshot(str(path))
    size = path.stat().st_size
    sys.stdout.write(f"{path} {size:,} bytes\n")
    if size > MOST:
        sys.exit(f"screenshots: {path} is larger than {MOST:,} bytes")


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.screenshots")
    parser.add_argument("--to", type=Path, default=IMAGES, metavar="FOLDER", help="default: docs/images")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, internet() as world:
        home = Path(temporary) / "home"
        home.mkdir()
        house = House(home, settings(world) + THREE)
        with Store(house.state) as store:
            world.move(past(store, time.time()))
        with house.up() as daemon, browser(Path(temporary) / "chromium") as chrome:
            chrome.get(daemon.web + "/")
            until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 30, "all is right")
            world.move(IPv4Address("203.0.113.86"))
            until(lambda: "203.0.113.86" in daemon.row(WWW) and daemon.is_in_sync(WWW, GANDI, OWN), 30, "it followed")
            ask_for(daemon, 6.0)  # the page follows within a second, its rate of queries within five
            in_colours(chrome, "light")
            command(
                chrome, "Emulation.setDeviceMetricsOverride", width=1200, height=1010, deviceScaleFactor=1, mobile=False
            )
            picture(chrome, folder / "page-wide.png")
            as_phone(chrome, scale=1.5, height=PHONE[1])
            picture(chrome, folder / "page-phone.png")


if __name__ == "__main__":
    main()
