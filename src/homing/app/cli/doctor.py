"""``homing doctor``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homing.app.cli.common import config_option, json_option, load, state_directory, state_option, tells_errors

if TYPE_CHECKING:
    from homing.app.doctor.finding import Finding


@click.command("doctor")
@config_option
@state_option
@click.option(
    "--resolver", metavar="ADDRESS[:PORT]", default="", help="Ask this recursive resolver.  [default: the system's]"
)
@click.option("--kubernetes", is_flag=True, help="Look at a cluster instead; so it does by itself in a pod.")
@click.option("--kubeconfig", envvar="HOMING_KUBECONFIG", metavar="FILE", default="", help="Of another cluster.")
@click.option("--context", "kube_context", metavar="NAME", default="", help="A context of the kubeconfig.")
@click.option(
    "--namespace",
    envvar=["HOMING_NAMESPACE", "POD_NAMESPACE"],
    metavar="NAME",
    default="",
    help="Where Homing runs there.  [default: homing; in a pod its own]",
)
@json_option
@tells_errors
def doctor_command(
    config: Path | None,
    state: Path | None,
    resolver: str,
    kubernetes: bool,
    kubeconfig: str,
    kube_context: str,
    namespace: str,
    as_json: bool,
) -> None:
    """Look at what usually goes wrong, and say what to do about it. Changes nothing.

    It looks at the configuration, who may read secrets, the clock, the WAN address, carrier-grade and
    double NAT, ports in use, logins at the providers (without an update), the delegation of the own zones
    and their secondaries. With --kubernetes: the API server, Homing's kinds, the rights of its accounts,
    Leases, what is not ready and why, CoreDNS, endpoints.

    \b
    Examples:
      homing doctor
      homing doctor -c /etc/homing/homing.toml --resolver 9.9.9.9
      homing doctor --kubernetes --context home
      homing doctor --json | jq -r '.findings[] | select(.level == "error") | .text'

    Exit status: 0 when nothing is wrong, 1 with errors, 2 when the configuration cannot be read.
    """
    import asyncio
    import json

    from homing.app.doctor.show import Printer, as_data, summary
    from homing.app.settings import find_configuration
    from homing.effects.log import configure

    configure("error")
    printer = Printer()
    tell: Callable[[Finding], None] = printer if not as_json else printer.silently
    in_pod = bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and config is None and find_configuration(None) is None
    if kubernetes or kubeconfig or kube_context or in_pod:
        from homing.app.cluster.settings import ClusterSettings
        from homing.app.doctor.cluster.look import look_at_cluster

        settings = ClusterSettings(kubeconfig=kubeconfig, context=kube_context, namespace=namespace)
        findings = asyncio.run(look_at_cluster(settings, tell))
    else:
        from homing.app.doctor.house import look_at_house

        findings = asyncio.run(look_at_house(load(config), state_directory(state), _server(resolver), tell))
    data = as_data(findings)
    click.echo(json.dumps(data, indent=2) if as_json else summary(findings))
    sys.exit(0 if data["ok"] else 1)


def _server(text: str) -> tuple[str, int] | None:
    from homing.app.places import parse_listen

    if not text:
        return None
    given = text if text.count(":") < 2 or "[" in text else f"[{text}]"
    host, port = parse_listen(given, "--resolver", 53)
    if not host or not port:
        raise click.BadParameter(f"{text!r} is not the address of a server", param_hint="--resolver")
    return host, port
