"""What the commands share: where configuration and state are, and how an error is told."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from homing.errors import ConfigError, HomingError, StateLocked, first_cause

if TYPE_CHECKING:
    from homing.app.settings import Loaded

P = ParamSpec("P")
R = TypeVar("R")

USAGE = 2
"""The exit status for a wrong configuration, and for a state directory in use."""

config_option = click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A homing.toml or an ESDDNS dns.ini.  [default: the user's, else /etc/homing/homing.toml]",
)
state_option = click.option(
    "--state",
    "state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The state directory.  [default: $STATE_DIRECTORY, else $XDG_STATE_HOME/homing]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def tells_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn Homing's own errors into one line on standard error and an exit status."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            sys.exit(130)
        except (HomingError, OSError, BaseExceptionGroup) as error:
            problem = first_cause(error)
            if isinstance(problem, BrokenPipeError):
                # The reader of a pipe went away, as `head` does.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(0)
            if isinstance(problem, HomingError):
                click.secho(f"homing: {problem}", fg="red", err=True)
                sys.exit(USAGE if isinstance(problem, ConfigError | StateLocked) else 1)
            if isinstance(problem, OSError):
                name = f"{problem.filename}: " if problem.filename else ""
                click.secho(f"homing: {name}{problem.strerror or problem}", fg="red", err=True)
                sys.exit(1)
            raise

    return wrapped


def state_directory(given: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the state is: the option, systemd's StateDirectory=, else the user's (XDG Base Directory)."""
    if given is not None:
        return given
    if environ.get("STATE_DIRECTORY"):
        return Path(environ["STATE_DIRECTORY"].split(":")[0])
    home = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/")) / ".local" / "state")
    return Path(home) / "homing"


def load(config: Path | None) -> Loaded:
    """The settings of a file, or the built-in ones. Raises ConfigError."""
    from homing.app.legacy import load_dns_ini
    from homing.app.settings import default_settings, find_configuration, load_toml

    path = find_configuration(config)
    if path is None:
        return default_settings()
    return load_dns_ini(path) if path.suffix == ".ini" else load_toml(path)
