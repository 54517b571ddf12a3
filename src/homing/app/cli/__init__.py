"""The command line. Every module here imports only what its help text needs; the rest comes when a command runs."""

from __future__ import annotations

import os
import sys
from types import TracebackType

import click

from homing import __version__
from homing.app.cli.change import apply_command, plan_command, unlock_command
from homing.app.cli.cluster import agent_command, operator_command
from homing.app.cli.config import check_command, init_command
from homing.app.cli.crds import crds_command
from homing.app.cli.dns import dns_command
from homing.app.cli.doctor import doctor_command
from homing.app.cli.look import detect_command, history_command, status_command
from homing.app.cli.manual import completion_command, man_command
from homing.app.cli.migrate import migrate_command
from homing.app.cli.run import demo_command, up_command
from homing.app.cli.tell import tell_command
from homing.errors import kind_and_place

EX_SOFTWARE = 70
"""The exit status of a fault in Homing itself (sysexits.h)."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: homing detect, homing demo, or homing init > homing.toml",
)
@click.version_option(__version__, "-V", "--version", prog_name="homing", message="%(prog)s %(version)s")
def cli() -> None:
    """DNS names that follow the machines they stand for."""


for command in (
    up_command,
    demo_command,
    dns_command,
    operator_command,
    agent_command,
    detect_command,
    plan_command,
    apply_command,
    unlock_command,
    status_command,
    history_command,
    doctor_command,
    check_command,
    tell_command,
    init_command,
    crds_command,
    migrate_command,
    man_command,
    completion_command,
):
    cli.add_command(command)


def main() -> None:
    """The ``homing`` command. A fault of Homing itself is told in one line, without a traceback."""
    sys.excepthook = _tell
    cli.main(prog_name="homing")


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if os.environ.get("HOMING_DEBUG"):
        sys.__excepthook__(kind, error, trace)
    else:
        sys.stderr.write(
            f"homing: internal fault: {kind_and_place(error)}\n"
            "homing: this is a bug; please report it with what HOMING_DEBUG=1 shows\n"
        )
    sys.stderr.flush()
    os._exit(EX_SOFTWARE)
