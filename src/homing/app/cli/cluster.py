"""``homing operator`` and ``homing agent``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from homing.app.cli.common import tells_errors

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "-c",
        "--config",
        "file",
        envvar="HOMING_CONFIG",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A TOML file whose keys are these options' names; read again when it changes.",
    ),
    click.option("--kubeconfig", envvar="HOMING_KUBECONFIG", metavar="FILE", help="[default: as kubectl, else the pod's account]"),
    click.option("--context", envvar="HOMING_CONTEXT", metavar="NAME", help="A context of the kubeconfig."),
    click.option(
        "--namespace",
        envvar=["HOMING_NAMESPACE", "POD_NAMESPACE"],
        metavar="NAME",
        help="Where Leases and the ConfigMap live.  [default: the own one]",
    ),
    click.option("--identity", envvar=["HOMING_IDENTITY", "POD_NAME"], metavar="NAME", help="In Leases.  [default: host and process]"),
    click.option("--lease-duration", envvar="HOMING_LEASE_DURATION", type=float, help="Seconds that a Lease holds.  [default: 15]"),
    click.option("--ca-file", envvar="HOMING_CA_FILE", metavar="FILE", help="Authorities for detection, beside the system's."),
    click.option("--listen", envvar="HOMING_LISTEN", metavar="HOST:PORT", help="Probes and metrics; 'off' for nowhere.  [default: :8080]"),
    click.option("--log-level", envvar="HOMING_LOG_LEVEL", type=click.Choice(["debug", "info", "warning", "error"])),
    click.option("--log-format", envvar="HOMING_LOG_FORMAT", type=click.Choice(["text", "json"]), help="[default: json]"),
)  # fmt: skip


def _common(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("operator")
@_common
@click.option(
    "--watch-namespace",
    "watch_namespaces",
    envvar="HOMING_WATCH_NAMESPACES",
    multiple=True,
    metavar="NAME",
    help="Care for Domains and Secrets of this namespace only; may be repeated.  [default: all]",
)
@click.option("--wan-config-map", envvar="HOMING_WAN_CONFIG_MAP", metavar="NAME", help="[default: esddns-wan-ip]")
@click.option(
    "--areas-annotation",
    envvar="HOMING_AREAS_ANNOTATION",
    metavar="KEY",
    help="[default: k8s.pootis.network/node-areas]",
)
@click.option(
    "--ips-annotation", envvar="HOMING_IPS_ANNOTATION", metavar="KEY", help="[default: k8s.pootis.network/node-ips]"
)
@click.option(
    "--detect-interval",
    envvar=["HOMING_DETECT_INTERVAL", "DNS_SYNC_INTERVAL"],
    type=int,
    help="Seconds between rounds of a Site default that the operator creates.  [default: 300]",
)
@click.option(
    "--strato-server", envvar="HOMING_STRATO_SERVER", metavar="URL", help="Another update URL for Strato Domains."
)
@click.option(
    "--state", envvar="HOMING_STATE", metavar="DIR", help="Keep the history there.  [default: in memory only]"
)
@tells_errors
def operator_command(file: Path | None, **given: Any) -> None:
    """Run the operator: Domains follow Sites, nodes and Services, at their providers.

    Of several replicas one leads, by the Lease homing-operator.

    \b
    Examples:
      homing crds | kubectl apply -f - && homing operator --kubeconfig ~/.kube/config
      homing operator --watch-namespace web --watch-namespace mail
      homing operator --config /etc/homing/operator.toml

    Each option can be given in the environment (HOMING_LOG_LEVEL=debug) and in the file (log-level = "debug"). SIGTERM stops;
    another replica takes over at once.
    """
    import asyncio

    from homing.app.cluster.process import run_operator
    from homing.app.cluster.settings import load_settings

    asyncio.run(run_operator(lambda: load_settings(file, given), file))


@click.command("agent")
@_common
@click.option(
    "--node-name", envvar=["HOMING_NODE_NAME", "NODE_NAME"], metavar="NAME", help="This node.  [default: the host name]"
)
@tells_errors
def agent_command(file: Path | None, **given: Any) -> None:
    """Run the agent of a node: detect the WAN address of its Site while it holds the Site's Lease.

    \b
    Examples:
      homing agent --node-name "$NODE_NAME"
      homing agent --kubeconfig ~/.kube/config --log-format text

    All other agents of the Site wait and ask nobody. SIGTERM stops; another agent takes over at once.
    """
    import asyncio

    from homing.app.cluster.process import run_agent
    from homing.app.cluster.settings import load_settings

    asyncio.run(run_agent(lambda: load_settings(file, given), file))
