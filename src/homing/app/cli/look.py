"""``homing detect``, ``homing status`` and ``homing history``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from homing.app.cli.common import config_option, json_option, load, state_directory, state_option, tells_errors

METHODS = ("stun", "http", "whoami", "interface")


@click.command("detect")
@config_option
@json_option
@click.option("--only", metavar="METHOD,...", help=f"Ask only by these of {', '.join(METHODS)}.")
@click.option("--family", type=click.Choice(["4", "6"]), help="Ask for one family only.")
@tells_errors
def detect_command(config: Path | None, as_json: bool, only: str | None, family: str | None) -> None:
    """Ask every observer for this machine's WAN address, and say what to make of the answers.

    \b
    Examples:
      homing detect
      homing detect --only stun,interface --family 4
      homing detect --json | jq '.verdicts[] | .address'

    Exit status: 0 agreed, 3 disputed, 4 unknown; of two families the better one counts.
    """
    import asyncio

    from homing.app.detection import exit_status, show

    methods = tuple(part.strip() for part in only.split(",")) if only else METHODS
    wrong = [method for method in methods if method not in METHODS]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is not one of {', '.join(METHODS)}", param_hint="--only")
    verdicts = asyncio.run(show(load(config), methods, int(family) if family else None, as_json=as_json))
    sys.exit(exit_status(verdicts))


@click.command("status")
@state_option
@click.option("-w", "--watch", "live", is_flag=True, help="Go on showing it, until q or Ctrl-C.")
@json_option
@tells_errors
def status_command(state: Path | None, live: bool, as_json: bool) -> None:
    """Show addresses, names and pauses as the daemon last saw them.

    With --watch it stays, and follows every change. Without a terminal that is a block for each change, with --json a
    line of JSON.

    \b
    Examples:
      homing status
      homing status --watch
      homing status --json | jq '.names[] | select(.state != "in-sync")'
      homing status --watch --json | jq --unbuffered -r '.addresses[].address'

    Exit status: 0 when all names hold what they should, 1 when not; 0 with --watch.
    """
    import time

    from homing.app.report import console, status
    from homing.app.watching import daemon_of, read, watch
    from homing.web.page import QUIET

    directory = state_directory(state)
    if live:
        watch(directory, as_json=as_json)
        return
    seen = read(directory)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(seen.document).decode())
    else:
        console().print(status(seen.view, time.time(), daemon_of(directory)))
    sys.exit(0 if all(name.state in QUIET for name in seen.view.names) else 1)


@click.command("history")
@state_option
@json_option
@click.option("-n", "--limit", default=30, show_default=True, type=click.IntRange(1, 100_000), help="How many lines.")
@click.option("--since", metavar="AGE", help="Only what is younger, such as 90s, 15m, 12h, 7d.")
@tells_errors
def history_command(state: Path | None, as_json: bool, limit: int, since: str | None) -> None:
    """Show changes of the address, updates and events, newest first.

    \b
    Examples:
      homing history
      homing history --since 7d --json
    """
    import time

    from homing.app.report import history_text
    from homing.app.views import change_views
    from homing.store import Store

    start = time.time() - _age(since) if since else 0.0
    with Store(state_directory(state), readonly=True) as store:
        changes = change_views(
            store.address_history(since=start, limit=limit),
            store.updates(since=start, limit=limit),
            store.events(since=start, limit=limit),
            limit,
        )
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(changes)).decode())
    else:
        click.echo(history_text(changes))


def _age(text: str) -> float:
    units: dict[str, Any] = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if not number.isascii() or not number.isdigit() or unit not in units:
        raise click.BadParameter(f"{text!r} is not an age; write it like 90s, 15m, 12h or 7d", param_hint="--since")
    return int(number) * float(units[unit])
