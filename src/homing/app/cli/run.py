"""``homing up`` and ``homing demo``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homing.app.cli.common import config_option, load, state_directory, state_option, tells_errors

if TYPE_CHECKING:
    from homing.app.daemon import Daemon


@click.command("up")
@config_option
@state_option
@click.option("--dns", "dns", metavar="HOST:PORT,...", help="Where the built-in DNS server listens; 'off' for nowhere.")
@click.option("--web", "web", metavar="HOST:PORT,...", help="Where the page is served; 'off' for nowhere.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Overrides the settings.")
@tells_errors
def up_command(
    config: Path | None, state: Path | None, dns: str | None, web: str | None, log_level: str | None
) -> None:
    """Run the daemon: observe, keep names right, serve DNS and the page.

    Without a configuration it serves this machine's names in zone home.arpa. on 127.0.0.1:5300.

    \b
    Examples:
      homing up
      homing up -c homing.toml --web 127.0.0.1:8080
      homing up -c dns.ini --dns off

    SIGHUP reads the configuration again, SIGTERM stops.
    """
    import asyncio

    from homing.app.daemon import Daemon, Options
    from homing.effects.log import configure

    settings = load(config).settings
    configure(log_level or settings.log.level, json=settings.log.format == "json", file=settings.log.file)
    options = Options(state_directory(state), lambda: load(config), _addresses(dns), _addresses(web))
    asyncio.run(Daemon(options).run(_announce))


@click.command("demo")
@click.option("--dns", "dns", default="127.0.0.1:5300", show_default=True, metavar="HOST:PORT", help="The DNS server.")
@click.option("--web", "web", default="127.0.0.1:8053", show_default=True, metavar="HOST:PORT", help="The page.")
@click.option(
    "--every",
    default=6.0,
    show_default=True,
    type=click.FloatRange(1.0, 3600.0),
    help="Seconds between two changes of the address.",
)
@click.option("--times", type=int, help="Stop after so many changes.  [default: when interrupted]")
@tells_errors
def demo_command(dns: str, web: str, every: float, times: int | None) -> None:
    """See names follow without an account: the daemon with a stand-in internet on this machine.

    The WAN address changes every few seconds; names at a stand-in Strato, a stand-in Gandi and in the built-in DNS
    server follow. Nothing leaves this machine and no real name is changed.

    \b
    Examples:
      homing demo
      homing demo --every 3 --times 5
    """
    import asyncio

    from homing.app.demo import run_demo
    from homing.effects.log import configure

    configure("warning")
    asyncio.run(run_demo(_addresses(dns) or (), _addresses(web) or (), every, times, _announce))


def _addresses(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return () if text == "off" else tuple(part.strip() for part in text.split(",") if part.strip())


def _announce(daemon: Daemon) -> None:
    """Where to look, on standard output."""
    lines = [click.style("Homing", bold=True) + f" keeps {len(daemon.household.names)} names right."]
    lines += [f"  page   http://{address}/" for address in daemon.web_listen]
    zones = " ".join(str(origin) for origin in daemon.authority.zones.loaded)
    if daemon.dns_listen:
        lines.append(f"  DNS    {zones} on {', '.join(daemon.dns_listen)} (UDP and TCP)")
        host, _, port = daemon.dns_listen[0].rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
        own = [spec for spec in daemon.household.names if spec.provider == "zone"]
        local = [spec for spec in own if spec.source.kind != "wan"] or own
        if local:
            only_ipv6 = bool(daemon.household.own) and all(item.version == 6 for item in daemon.household.own or ())
            lines.append(f"  try    dig @{host} -p {port} {local[0].name.text}{' AAAA' if only_ipv6 else ''}")
    lines.append(f"  state  {daemon.state_directory}")
    with contextlib.suppress(OSError):  # whoever reads may have gone; names are to be kept right all the same
        click.echo("\n".join(lines))
        sys.stdout.flush()
