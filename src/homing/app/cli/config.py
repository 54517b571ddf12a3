"""``homing check`` and ``homing init``."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

import click

from homing.app.cli.common import config_option, json_option, load, tells_errors


@click.command("check")
@config_option
@json_option
@tells_errors
def check_command(config: Path | None, as_json: bool) -> None:
    """Validate a configuration, its secrets too, without asking anybody.

    \b
    Examples:
      homing check -c homing.toml
      homing check -c dns.ini --json

    Exit status: 0 when it can be used, 2 when not.
    """
    import asyncio
    import json

    from homing.app.check import check

    loaded = load(config)
    report = asyncio.run(check(loaded))
    if as_json:
        click.echo(json.dumps({"file": loaded.origin, "errors": report.errors, "notes": report.notes}))
    else:
        for note in report.notes:
            click.echo(f"note: {note}")
        for error in report.errors:
            click.secho(f"homing: {error}", fg="red", err=True)
        if not report.errors:
            click.echo(f"{loaded.origin}: fine, {report.names} names")
    sys.exit(2 if report.errors else 0)


@click.command("init")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to a new file.")
@tells_errors
def init_command(output: Path | None) -> None:
    """Print a commented homing.toml to start from.

    \b
    Examples:
      homing init > homing.toml
      homing init -o ~/.config/homing/homing.toml
    """
    from homing.errors import ConfigError

    text = resources.files("homing.app").joinpath("example.toml").read_text(encoding="utf-8")
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(str(output), "exists already", "choose another file, or remove it first") from None
    except OSError as error:
        raise ConfigError(str(output), f"cannot be written: {error.strerror}", "choose another file") from None
    click.echo(f"wrote {output}; edit it, then: homing check -c {output}")
