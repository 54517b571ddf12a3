"""The pictures of a house, from the home in a box.

A day passes in a minute there: the daemon's clock is behind, and jumps. Everything on the pictures happened: the
router got those addresses, Strato, Gandi and Knot took them, Knot and NSD fetched the zone, Gandi was away.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab import layout
from tests.lab.household import WEB_PORT, Homing
from tests.lab.lab import Lab
from tests.lab.secondaries import KNOT, NSD, secondaries
from tests.lab.window import window
from tests.waiting import until
from tests.web.browser import as_phone, as_wide, browser, in_colours, picture, text

ROOT = Path(__file__).parents[2]

HOUR = 3600.0

SEEN = "/srv/homing"
"""Where the home sees its folder."""

ZONE, DNS_PORT = "home.example.net", 5300

STRATO_NAME, GANDI_NAME, KNOT_NAME = "www.example.de", "cloud.example.org", f"vpn.{layout.KNOT_ZONE}"
FIRST, SECOND, THIRD, LAST, MOVED = "84.17.33.10", "84.17.41.118", "84.17.36.203", "84.17.39.77", "84.17.44.6"

_SETTINGS = """
[providers.strato]
type = "strato"
server = "https://{strato}/nic/update"
user = "example.de"
password_file = "strato.password"
cooldown = 1

[providers.gandi]
type = "gandi"
token_file = "gandi.token"

[providers.knot]
type = "rfc2136"
server = "{knot}"
key_name = "{key}"
key_file = "tsig.key"

[dns]
listen = ["127.0.0.1:{dns_port}", "[{home}]:{dns_port}"]
secondaries = {secondaries}

[[dns.keys]]
name = "{key}"
secret_file = "tsig.key"

[zones."{zone}"]
ns = ["ns1.example.net", "ns2.example.net"]

[web]
listen = ["127.0.0.1:{web_port}"]
"""


class Pictured(Homing):
    """A house with names at several providers and a zone of its own; ``hours`` says how far behind its clock is."""

    patience = 10.0

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._behind = folder / "behind"
        self.program = (str(ROOT / "tests" / "lab" / "behind.py"), str(self._behind))
        super().__init__(lab, folder, probe_interval=1.0)
        lab.home.shell(f"mount -t tmpfs none /srv\nmkdir {SEEN}\nmount --bind {folder} {SEEN}")
        self.config, self.state = Path(SEEN, "homing.toml"), Path(SEEN, "state")

    def settings(self, probe_interval: float) -> str:
        """The text of its homing.toml."""
        of = f"[detect]\nprobe_interval = {probe_interval}\n" + _SETTINGS.format(
            strato=layout.STRATO,
            knot=self.lab.knot.ipv4,
            key=self.lab.tsig.name,
            home=self.lab.home_ipv6,
            secondaries=[f"[{address}]:53 key {self.lab.tsig.name}" for address in (KNOT, NSD)],
            zone=ZONE,
            dns_port=DNS_PORT,
            web_port=WEB_PORT,
        ).replace("'", '"')
        names = [(STRATO_NAME, "strato", "wan"), (GANDI_NAME, "gandi", "wan"), (KNOT_NAME, "knot", "wan"),
                 (f"wan.{ZONE}", "zone", "wan"), (f"nas.{ZONE}", "zone", "interface")]  # fmt: skip
        for fqdn, provider, source in names:
            private = "allow_private = true\n" if source == "interface" else ""
            of += f'\n[[names]]\nfqdn = "{fqdn}"\nprovider = "{provider}"\nsource = "{source}"\n{private}'
        return of

    def hours(self, ago: float) -> None:
        """Let it be so many hours ago."""
        self._behind.write_text(str(ago * HOUR))


def ask_for(house: Pictured) -> subprocess.Popen[bytes]:
    """A client of the home that asks its DNS server for names, over and over."""
    script = f"while :; do dig +short @127.0.0.1 -p {DNS_PORT} wan.{ZONE} >/dev/null; sleep 0.1; done"
    return house.lab.popen("home", ["sh", "-c", script])


def pictures(folder: Path) -> None:
    """Make them. Raises AssertionError, with the end of the daemon's log, when something does not come about."""
    accounts = {
        "strato_hosts": {STRATO_NAME: "example.de"},
        "strato_passwords": {"example.de": layout.STRATO_PASSWORD},
        "gandi_domains": ["example.org"],
    }
    with tempfile.TemporaryDirectory() as temporary, Lab(patience=False, accounts=accounts) as lab:
        home = Path(temporary) / "home"
        home.mkdir()
        house = Pictured(lab, home)
        with secondaries(lab, ZONE, DNS_PORT), window(lab.home, WEB_PORT) as url:
            try:
                a_day(house, lambda: _take(house, url, Path(temporary), folder))
            except AssertionError as error:
                raise AssertionError(f"{house.log[-3000:]}{error}") from None


def a_day(house: Pictured, at_its_end: Callable[[], None]) -> None:
    """What happens in it."""
    lab = house.lab
    house.hours(26)
    with house:
        until(lambda: in_sync(house, FIRST), 30, "the first address")
        house.hours(19.2)
        lab.change_wan(ipv4=SECOND)
        until(lambda: in_sync(house, SECOND), 30, "the second address")
        house.hours(11.5)
        lab.script("gandi", "answer", times=None, status=503, body="maintenance")
        lab.change_wan(ipv4=THIRD)
        until(lambda: "503" in house.get("/") and f'class="address">{THIRD}<' in house.get("/"), 60, "Gandi is away")
        lab.behave("gandi")
        house.hours(10.9)
        until(lambda: in_sync(house, THIRD), 90, "the third address")
        house.hours(0)
        lab.change_wan(ipv4=LAST)
        until(lambda: in_sync(house, LAST), 30, "the last address")
        at_its_end()


def in_sync(house: Pictured, address: str) -> bool:
    """Whether all is right with this address."""
    page = house.get("/")
    return "names are right</h1>" in page and f'class="address">{address}<' in page


def _take(house: Pictured, url: str, temporary: Path, folder: Path) -> None:
    asking = ask_for(house)
    try:
        with browser(temporary / "chromium") as chrome:
            chrome.get(url)
            time.sleep(12)  # the rate of queries is known, and the secondaries have told their serials
            for scheme, ending in (("light", ""), ("dark", "-dark")):
                in_colours(chrome, scheme)
                as_wide(chrome, 1240)
                picture(chrome, folder / f"page-wide{ending}.png")
                as_phone(chrome, scale=1.5)
                picture(chrome, folder / f"page-phone{ending}.png")
            in_colours(chrome, "light")
            house.lab.script("gandi", "answer", times=None, status=401, body="")
            house.lab.change_wan(ipv4=MOVED)
            until(lambda: text(chrome, "h1") == "1 of 5 names is not right", 60, "a fault")
            as_wide(chrome, 760)
            picture(chrome, folder / "page-fault.png")
    finally:
        asking.kill()
        asking.wait()
