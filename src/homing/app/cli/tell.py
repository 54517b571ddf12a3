"""``homing tell``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from homing.app.cli.common import config_option, load, tells_errors


@click.command("tell")
@config_option
@click.argument("text", default="This is a test. Messages arrive.")
@tells_errors
def tell_command(config: Path | None, text: str) -> None:
    """Send a message to everybody whom [messages] names, to see whether it arrives.

    \b
    Examples:
      homing tell
      homing tell -c homing.toml "the router is being replaced"

    Exit status: 0; 1 when a receiver did not take it.
    """
    import asyncio

    from homing.app.news import tell

    found = asyncio.run(tell(load(config), text))
    for receiver, problem in found:
        click.echo(f"{receiver}: {problem or 'sent'}", err=bool(problem))
    sys.exit(1 if any(problem for _, problem in found) else 0)
