"""``homing operator`` and ``homing agent``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from homing.app.cli.common import tells_errors


def _option(name: str, metavar: str | None, told: str, *, also: str = "", **kind: Any) -> Callable[[Any], Any]:
    """An option that the environment can give too."""
    variables = [f"HOMING_{name.upper().replace('-', '_')}", *([also] if also else [])]
    return click.option(f"--{name}", envvar=variables, metavar=metavar, help=told, **kind)


_COMMON: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "-c",
        "--config",
        "file",
        envvar="HOMING_CONFIG",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A TOML file whose keys are these options' names; read again when it changes.",
    ),
    _option("kubeconfig", "FILE", "[default: as kubectl, else the pod's account]"),
    _option("context", "NAME", "A context of the kubeconfig."),
    _option("namespace", "NAME", "Where Leases and the ConfigMap live.  [default: the own one]", also="POD_NAMESPACE"),
    _option("identity", "NAME", "In Leases.  [default: host and process]", also="POD_NAME"),
    _option("lease-duration", "SECONDS", "How long a Lease holds.  [default: 15, of agents 40]", type=float),
    _option("ca-file", "FILE", "Authorities for detection over HTTPS, beside the system's."),
    _option("listen", "HOST:PORT", "Probes and metrics; 'off' for nowhere.  [default: :8080]"),
    _option("log-level", None, "[default: info]", type=click.Choice(["debug", "info", "warning", "error"])),
    _option("log-format", None, "[default: json]", type=click.Choice(["text", "json"])),
)


def _common(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_COMMON):
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
@_option("wan-config-map", "NAME", "Where the address of Site default is copied.  [default: esddns-wan-ip]")
@_option("areas-annotation", "KEY", "Of nodes.  [default: k8s.pootis.network/node-areas]")
@_option("ips-annotation", "KEY", "Of nodes.  [default: k8s.pootis.network/node-ips]")
@_option(
    "detect-interval",
    "SECONDS",
    "Between rounds of a Site default that the operator creates.  [default: 300]",
    also="DNS_SYNC_INTERVAL",
    type=int,
)
@_option("strato-server", "URL", "Another update URL for Strato Domains.")
@_option("strato-cooldown", "SECONDS", "Between two requests for a host there.  [default: 60]", type=float)
@_option("gandi-server", "URL", "Another API URL for Providers of Gandi that name none.")
@_option("web", "HOST:PORT", "The page and the API; 'off' for nowhere.  [default: 127.0.0.1:8053]")
@_option("web-token-file", "FILE", "Readers of the page must give the token that is in it.")
@_option("advertise", "ADDRESS", "Own address, where Service homing-page leads to while it leads.", also="POD_IP")
@_option("state", "DIR", "Keep the history there.  [default: in memory only]")
@_option("messages-file", "FILE", "apprise URLs, one a line: who is told of changes and troubles.")
@_option("ping-file", "FILE", "The URL of a dead man's switch, asked for while all goes well.")
@tells_errors
def operator_command(file: Path | None, **given: Any) -> None:
    """Run the operator: Domains follow Sites, nodes and Services, at their providers.

    Of several replicas one leads, by the Lease homing-operator.

    \b
    Examples:
      homing crds | kubectl apply -f - && homing operator --kubeconfig ~/.kube/config
      homing operator --watch-namespace web --watch-namespace mail
      homing operator --config /etc/homing/operator.toml

    Each option can be given in the environment (HOMING_LOG_LEVEL=debug) and in the file (log-level = "debug").
    SIGTERM stops; another replica takes over at once.
    """
    import asyncio

    from homing.app.cluster.process import run_operator
    from homing.app.cluster.settings import load_settings

    asyncio.run(run_operator(lambda: load_settings(file, given), file))


@click.command("agent")
@_common
@_option("node-name", "NAME", "This node.  [default: the host name]", also="NODE_NAME")
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
