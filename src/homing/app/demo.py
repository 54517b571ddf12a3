"""``homing demo``: the daemon with a stand-in internet on loopback whose WAN address changes."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import click

from homing.app.daemon import Daemon, Options
from homing.app.settings import (
    DetectSettings,
    DnsSettings,
    Dyndns2Settings,
    GandiSettings,
    HttpSettings,
    InterfaceSettings,
    Loaded,
    NameSettings,
    Observer,
    Settings,
    StunSettings,
    WhoamiSettings,
    ZoneSettings,
)
from homing.model.address import Family
from homing.standins.internet import StandInInternet

DOCUMENTATION = ("203.0.113.0/24", "2001:db8::/32")
"""The demo's addresses come from networks that nobody has (RFC 5737, RFC 3849)."""


async def run_demo(
    dns: tuple[str, ...], web: tuple[str, ...], every: float, times: int | None, announce: Callable[[Daemon], None]
) -> None:
    """Run until interrupted, or until the address changed ``times`` times; ``every`` seconds lie between."""
    ipv4, ipv6 = _addresses(1)
    async with StandInInternet(
        ipv4,
        ipv6,
        strato_hosts={"www.demo.example": "www.demo.example"},
        strato_passwords={"www.demo.example": "demo"},
        gandi_domains=["gandi-demo.example"],
        gandi_token="demo",  # noqa: S106 - the stand-in's
    ) as internet:
        with tempfile.TemporaryDirectory(prefix="homing-demo-") as directory:
            base = Path(directory)
            (base / "secret").write_text("demo")
            loaded = _settings(internet, base)
            daemon = Daemon(Options(base / "state", lambda: loaded, dns, web, demo=True))

            def started(daemon: Daemon) -> None:
                click.secho("This is a demo: a stand-in internet on this machine, made-up addresses.", fg="yellow")
                announce(daemon)
                click.echo(f"The WAN address is {ipv4}; it changes every {every:g} s. Stop with Ctrl-C.\n")

            running = asyncio.create_task(daemon.run(started))
            moving = asyncio.create_task(_move(internet, daemon, every, times))
            try:
                await running
            finally:
                moving.cancel()
                await asyncio.gather(moving, return_exceptions=True)


async def _move(internet: StandInInternet, daemon: Daemon, every: float, times: int | None) -> None:
    counter = itertools.count(2) if times is None else range(2, 2 + times)
    loop = asyncio.get_running_loop()
    for number in counter:
        await asyncio.sleep(every)
        ipv4, ipv6 = _addresses(number)
        internet.move(ipv4, ipv6)
        moved = loop.time()
        click.echo(f"the provider gave this home another address: {ipv4}")
        while not _followed(internet, daemon, str(ipv4)):
            if loop.time() - moved > every * 0.9:
                click.secho("  not all names have followed yet", fg="yellow")
                break
            await asyncio.sleep(0.05)
        else:
            click.secho(f"  Strato, Gandi and the own zone followed after {loop.time() - moved:.1f} s", fg="green")
    daemon.stop()


def _followed(internet: StandInInternet, daemon: Daemon, address: str) -> bool:
    names = daemon.view().names
    return bool(names) and all(address in name.published for name in names) and address in str(internet.as_json())


def _addresses(number: int) -> tuple[IPv4Address, IPv6Address]:
    return IPv4Address(f"203.0.113.{number % 250 + 1}"), IPv6Address(f"2001:db8:0:{number % 250 + 1:x}::10")


def _settings(internet: StandInInternet, base: Path) -> Loaded:
    families = sorted({item.family for item in internet.stun_observers})
    stun = tuple(Observer(item.operator, server=str(item.endpoint)) for item in internet.stun_observers)
    http = tuple(Observer(item.operator, url=item.endpoint.url("/")) for item in internet.http_observers)
    wanted = {"source": "wan", "families": tuple(family.value for family in families), "interval": 10.0}
    settings = Settings(
        detect=DetectSettings(
            interval=30.0,
            probe_interval=1.0,
            families=tuple(4 if family is Family.V4 else 6 for family in families),
            accept=DOCUMENTATION,
            stun=StunSettings(servers=stun),
            http=HttpSettings(services=http),
            whoami=WhoamiSettings(enabled=False),
            interface=InterfaceSettings(enabled=False),
        ),
        dns=DnsSettings(),
        zones={"home.arpa": ZoneSettings()},
        providers={
            "strato": Dyndns2Settings(
                type="strato", server=internet.strato_url, password_file=str(base / "secret"), cooldown=1.0
            ),
            "gandi": GandiSettings(
                type="gandi", server=internet.gandi_url + "/v5/livedns", token_file=str(base / "secret")
            ),
        },
        names=(
            NameSettings(fqdn="www.demo.example", provider="strato", **wanted),  # type: ignore[arg-type]
            NameSettings(fqdn="www.gandi-demo.example", provider="gandi", **wanted),  # type: ignore[arg-type]
            NameSettings(fqdn="wan.home.arpa", provider="zone", **wanted),  # type: ignore[arg-type]
        ),
    )
    return Loaded(settings, "demo", base)
