"""``homing plan`` and ``homing apply``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from homing.app.cli.common import config_option, json_option, load, state_directory, state_option, tells_errors


@click.command("plan")
@config_option
@state_option
@json_option
@tells_errors
def plan_command(config: Path | None, state: Path | None, as_json: bool) -> None:
    """Show what would change now, and change nothing.

    It observes once, reads the providers that can be read, and compares. It may run beside the daemon.

    \b
    Examples:
      homing plan -c homing.toml
      homing plan --json | jq '.plans[].changes[].name'

    Exit status: 0; 1 when something could not be read.
    """
    from homing.app.once import plan_once
    from homing.effects.log import configure
    from homing.plan.render import plans_as_data, plans_as_text

    loaded = load(config)
    configure("error")
    result = asyncio.run(plan_once(loaded, state_directory(state)))
    if as_json:
        import json

        data = {"plans": plans_as_data(result.plans), "unknown": result.unknown, "errors": result.errors}
        click.echo(json.dumps(data, indent=2))
    else:
        click.echo(plans_as_text(result.plans))
        _tell(result.unknown, result.errors)
    sys.exit(1 if result.errors else 0)


@click.command("apply")
@config_option
@state_option
@click.option("--accept", default="", metavar="HASH", help="Let the held plan with this hash pass.")
@json_option
@tells_errors
def apply_command(config: Path | None, state: Path | None, accept: str, as_json: bool) -> None:
    """Observe once and change what has to change, once.

    \b
    Examples:
      homing apply -c homing.toml
      homing apply --accept 1f2e3d4c5b6a
      */5 * * * * homing apply -c /etc/homing/homing.toml      (as a cron job)

    Exit status: 0 when all names hold what they should, 1 when not, 2 beside a running daemon or when the
    configuration is wrong.
    """
    from homing.app.once import apply_once
    from homing.effects.log import configure
    from homing.plan.render import plans_as_data, plans_as_text

    loaded = load(config)
    configure("error")
    result = asyncio.run(apply_once(loaded, state_directory(state), accept))
    if as_json:
        import json

        data = {"plans": plans_as_data(result.plans), "outcomes": result.outcomes}
        click.echo(json.dumps({**data, "unknown": result.unknown, "errors": result.errors}, indent=2))
    else:
        click.echo(plans_as_text(result.plans, done=True))
        _tell(result.unknown, result.errors)
    sys.exit(1 if result.errors or any(plan.held for plan in result.plans) else 0)


def _tell(unknown: list[str], errors: list[str]) -> None:
    for sentence in unknown:
        click.secho(f"left alone: {sentence}", fg="yellow", err=True)
    for sentence in errors:
        click.secho(f"failed: {sentence}", fg="red", err=True)
