"""``homing man`` and ``homing completion``, made of the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

SHELLS = ("bash", "zsh", "fish")

STATUSES = (
    "0 when all is well, 2 for a wrong command line or configuration, 70 for a fault of Homing's own, 1 for all else. "
    "Some commands have more, told above."
)


@click.command("man")
@click.pass_context
def man_command(context: click.Context) -> None:
    """Print the manual page homing(1), in troff.

    \b
    Examples:
      homing man | man -l -
      homing man > ~/.local/share/man/man1/homing.1
    """
    root = context.find_root()
    click.echo(manual(root.command, root))


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the completion of a shell.

    \b
    Examples:
      homing completion bash > ~/.local/share/bash-completion/completions/homing
      homing completion zsh > ~/.zfunc/_homing
      homing completion fish > ~/.config/fish/completions/homing.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has these three
    click.echo(kind(context.find_root().command, {}, "homing", "_HOMING_COMPLETE").source())


def manual(command: click.Command, context: click.Context) -> str:
    """The page in man(7): every command with its options, as their ``--help`` has them."""
    from homing import __version__

    lines = [f'.TH HOMING 1 "" "Homing {_escaped(__version__)}" "User Commands"']
    lines += [".SH NAME", "homing \\- DNS names that follow the machines they stand for"]
    lines += [".SH SYNOPSIS", ".B homing", ".I COMMAND", "[\\fIOPTIONS\\fR]", ".SH DESCRIPTION", *_paragraphs(command)]
    lines += [".SH COMMANDS", *_commands(command, context, "homing")]
    lines += [
        ".SH FILES",
        ".TP", ".I ~/.config/homing/homing.toml", "the user's settings",
        ".TP", ".I /etc/homing/homing.toml", "the system's, where the user has none",
        ".TP", ".I ~/.local/state/homing", "what outlives a restart; under systemd its StateDirectory=",
        ".SH ENVIRONMENT",
        ".TP", ".B HOMING_DEBUG", "shows the traceback of an internal fault",
        ".TP", ".B KUBECONFIG", "which cluster, as kubectl has it",
        ".SH EXIT STATUS",
        _escaped(STATUSES),
        ".SH SEE ALSO", ".BR dig (1),", ".BR kubectl (1)",
    ]  # fmt: skip
    return "\n".join(lines)


def _commands(command: click.Command, context: click.Context, path: str) -> Iterator[str]:
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        below = command.get_command(context, name) if isinstance(command, click.Group) else None
        if below is None or below.hidden:
            continue
        inner = click.Context(below, parent=context, info_name=name)
        yield f".SS {_escaped(f'{path} {name}')} {_escaped(' '.join(below.collect_usage_pieces(inner)))}"
        yield from _paragraphs(below)
        for parameter in below.get_params(inner):
            record = parameter.get_help_record(inner)
            if record is not None:
                yield from (".TP", f"\\fB{_escaped(record[0])}\\fR", _escaped(record[1]))
        yield from _commands(below, inner, f"{path} {name}")


def _paragraphs(command: click.Command) -> Iterator[str]:
    """The help text; what ``\\b`` keeps as it is stays so."""
    for paragraph in (command.help or "").strip().split("\n\n"):
        kept = paragraph.startswith("\b")
        lines = [_escaped(line) for line in paragraph.removeprefix("\b").strip("\n").splitlines()]
        yield from (".PP", *((".nf", *lines, ".fi") if kept else lines))


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
