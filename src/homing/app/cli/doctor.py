"""``homing doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from homing.app.cli.common import config_option, json_option, load, state_directory, state_option, tells_errors


@click.command("doctor")
@config_option
@state_option
@click.option(
    "--resolver", metavar="ADDRESS[:PORT]", default="", help="Ask this recursive resolver.  [default: the system's]"
)
@json_option
@tells_errors
def doctor_command(config: Path | None, state: Path | None, resolver: str, as_json: bool) -> None:
    """Look at what usually goes wrong, and say what to do about it. Changes nothing.

    It looks at the configuration, who may read secrets, the clock, the WAN address, carrier-grade and
    double NAT, ports in use, logins at the providers (without an update), the delegation of the own zones
    and their secondaries.

    \b
    Examples:
      homing doctor
      homing doctor -c /etc/homing/homing.toml --resolver 9.9.9.9
      homing doctor --json | jq -r '.findings[] | select(.level == "error") | .text'

    Exit status: 0 when nothing is wrong, 1 with errors, 2 when the configuration cannot be read.
    """
    import asyncio
    import json

    from homing.app.doctor.house import look_at_house
    from homing.app.doctor.show import Printer, as_data, summary
    from homing.effects.log import configure

    loaded = load(config)
    asked = _server(resolver)
    configure("error")
    findings = asyncio.run(
        look_at_house(loaded, state_directory(state), asked, (lambda _: None) if as_json else Printer())
    )
    data = as_data(findings)
    click.echo(json.dumps(data, indent=2) if as_json else summary(findings))
    sys.exit(0 if data["ok"] else 1)


def _server(text: str) -> tuple[str, int] | None:
    from homing.app.build import parse_listen

    if not text:
        return None
    given = text if text.count(":") < 2 or "[" in text else f"[{text}]"
    host, port = parse_listen(given, "--resolver", 53)
    if not host or not port:
        raise click.BadParameter(f"{text!r} is not the address of a server", param_hint="--resolver")
    return host, port
