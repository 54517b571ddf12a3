"""The lab as the benchmarks need it: everyone Homing asks by default is there, 20 ms away, and so is the resolver."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.lab.household import Homing
from tests.lab.lab import Lab
from tests.waiting import until

from homing.detect.builtin import HTTP, STUN_UDP

ONE_WAY = 0.010
"""Seconds from the router to the internet: half of the round trip."""

SETTING = (
    "the lab's home, router and internet (network namespaces) with round trips of 20 ms; every built-in observer "
    "answers; host names are looked up in DNS, one round trip away; the certificate store holds the public authorities"
)


@contextmanager
def world() -> Iterator[Lab]:
    """A lab with Homing's default observers, whose names the home learns from DNS alone."""
    stun = [f"{server.host}:{server.port}" for server in STUN_UDP]
    services = dict.fromkeys(urlsplit(service.url).hostname or "" for service in HTTP)
    with Lab(delay=ONE_WAY, stun=stun, check_services=list(services), patience=False) as lab:
        # The file is the home's /etc/hosts; without the names in it they are looked up as in a real home.
        (lab.folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        with lab.ca_file.open("a") as store:
            store.write(_public_authorities())
        yield lab


def _public_authorities() -> str:
    """This machine's certificate store: reading one of real size is part of a first HTTPS request."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_text() if file else ""


@contextmanager
def prepared(lab: Lab) -> Iterator[Homing]:
    """A household with a provider of each kind and default intervals, not started yet; it is stopped at the end.

    One setting is not the default: Strato may be asked every second rather than every minute.
    """
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
        homing = Homing(lab, Path(folder), probe_interval=15.0)
        homing.config.write_text(homing.config.read_text().replace("\ninterval = 10\n", "\n"))
        try:
            yield homing
        finally:
            homing.stop()


@contextmanager
def at_rest(lab: Lab) -> Iterator[Homing]:
    """A running daemon whose names are all published."""
    with prepared(lab) as homing:
        homing.start()
        until(lambda: homing.all_hold(lab.home_ipv4 or lab.wan_ipv4, lab.home_ipv6), 30, "all names published")
        yield homing
