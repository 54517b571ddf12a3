"""``homing plan`` and ``homing apply``."""

from __future__ import annotations

import signal
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
    import asyncio

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
        click.echo(plans_as_text(result.plans, in_sync=result.in_sync))
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
    import asyncio

    from homing.app.once import apply_once
    from homing.effects.log import configure
    from homing.plan.render import plans_as_data, plans_as_text

    loaded = load(config)
    configure("error")
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # meant for a daemon: `homing unlock` sends it to whoever holds the state
    result = asyncio.run(apply_once(loaded, state_directory(state), accept))
    if as_json:
        import json

        data = {"plans": plans_as_data(result.plans), "outcomes": result.outcomes}
        click.echo(json.dumps({**data, "unknown": result.unknown, "errors": result.errors}, indent=2))
    else:
        click.echo(plans_as_text(result.plans, done=True, in_sync=result.in_sync))
        _tell(result.unknown, result.errors)
    sys.exit(1 if result.errors or not result.in_sync else 0)


@click.command("unlock")
@click.argument("provider")
@click.argument("host", required=False, default="")
@state_option
@tells_errors
def unlock_command(provider: str, host: str, state: Path | None) -> None:
    """End a provider's pause by hand, after the cause was mended at the provider.

    A pause such as badauth or abuse ends by itself when the credentials change. When the remedy was elsewhere (the
    host was unblocked, the name was registered), say so here; a running daemon takes notice at once.

    \b
    Examples:
      homing unlock strato
      homing unlock strato www.example.de

    Exit status: 0; 1 when there was no such pause.
    """
    from homing.app.unlock import unlock

    ended = unlock(state_directory(state), provider, host.rstrip(".").lower())
    for lockout in ended:
        click.echo(f"{lockout.provider}: {lockout.code} no longer holds {lockout.host or 'the account'} back")
    if not ended:
        click.secho(f"homing: {provider} has no pause{' for ' + host if host else ''}; see: homing status", err=True)
        sys.exit(1)


def _tell(unknown: list[str], errors: list[str]) -> None:
    for sentence in unknown:
        click.secho(f"left alone: {sentence}", fg="yellow", err=True)
    for sentence in errors:
        click.secho(f"failed: {sentence}", fg="red", err=True)
