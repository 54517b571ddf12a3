"""``homing migrate``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from homing.app.cli.common import json_option, tells_errors

if TYPE_CHECKING:
    from homing.app.migrate.migration import Migration
    from homing.kube.client import KubeClient

R = TypeVar("R")

_files = click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))


def _cluster(function: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--kubeconfig", envvar="HOMING_KUBECONFIG", metavar="FILE", default="", help="Which cluster."),
        click.option("--context", metavar="NAME", default="", help="A context of the kubeconfig."),
        click.option("-n", "--namespace", metavar="NAME", default="", help="Look there only.  [default: everywhere]"),
        json_option,
    )
    for option in reversed(options):
        function = option(function)
    return tells_errors(function)


@click.group("migrate")
def migrate_command() -> None:
    """Print what takes the place of another system, and the steps; change nothing.

    Reads the cluster that kubectl uses, or files. What is printed can be given to kubectl apply -f; the steps, the way
    back, and what deserves a look stand at its head. Secrets are never read.

    \b
    Examples:
      homing migrate strato > homing.yaml
      homing migrate esddns dns.ini > homing.toml
      homing migrate k8s-node-dns deployment.yaml
    """


@migrate_command.command("strato")
@_files
@_cluster
def strato_command(files: tuple[Path, ...], as_json: bool, namespace: str, **cluster: str) -> None:
    """From the Strato controller: its Domains as Providers and Domains of homing.dev.

    \b
    Examples:
      homing migrate strato > homing.yaml
      homing migrate strato domains.yaml
      kubectl get domains.dyndns.contrib.strato.com -A -o yaml | homing migrate strato /dev/stdin
    """
    from homing.app.migrate import reading
    from homing.app.migrate.strato import migrate_strato
    from homing.errors import ConfigError
    from homing.kube.kinds import STRATO_DOMAINS

    if files:
        found = reading.strato_domains(files)
    else:
        found = _asked(cluster, lambda client: client.list(STRATO_DOMAINS, namespace))
    if not found:
        raise ConfigError("migrate", "there is no Domain of dyndns.contrib.strato.com", "name the file that has one")
    _show(migrate_strato(found), as_json=as_json)


@migrate_command.command("esddns")
@_files
@_cluster
def esddns_command(files: tuple[Path, ...], as_json: bool, namespace: str, **cluster: str) -> None:
    """From ESDDNS: its ConfigMap as Provider and Domain, or its dns.ini as a homing.toml.

    \b
    Examples:
      homing migrate esddns -n esddns > homing.yaml
      homing migrate esddns configmap.yaml
      API_KEY=x TARGET_DOMAIN_FQDN=example.org RECORD_NAME_ROOT=@ homing migrate esddns dns.ini > homing.toml
    """
    from homing.app.migrate import reading
    from homing.app.migrate.esddns import migrate_config_map, migrate_ini
    from homing.errors import ConfigError
    from homing.kube.resource import CONFIG_MAPS
    from homing.operator.esddns import CONFIG

    if files and all(path.suffix == ".ini" for path in files):
        from homing.app.legacy import load_dns_ini

        first, *more = files
        if more:
            raise click.UsageError("give one dns.ini at a time")
        _show(migrate_ini(load_dns_ini(first)), as_json=as_json)
        return
    if files:
        found = reading.config_maps(files)
    else:
        found = _asked(
            cluster, lambda client: client.list(CONFIG_MAPS, namespace, field_selector=f"metadata.name={CONFIG}")
        )
    chosen = [item for item in found if item.metadata.name == CONFIG]
    if len(chosen) != 1:
        problem = f"there are {len(chosen)} ConfigMaps {CONFIG}" if chosen else f"there is no ConfigMap {CONFIG}"
        raise ConfigError("migrate", problem, "name the one by --namespace, or its file")
    _show(migrate_config_map(chosen[0].data, chosen[0].metadata.namespace), as_json=as_json)


@migrate_command.command("k8s-node-dns")
@_files
@_cluster
def node_dns_command(files: tuple[Path, ...], as_json: bool, namespace: str, **cluster: str) -> None:
    """From the Go node DNS: the flags of its container, or its chart's values, as a Zone.

    \b
    Examples:
      homing migrate k8s-node-dns > zone.yaml
      homing migrate k8s-node-dns deployment.yaml
      helm get values k8s-node-dns -o yaml | homing migrate k8s-node-dns /dev/stdin
    """
    from homing.app.migrate import reading
    from homing.app.migrate.node_dns import find_flags, migrate_flags

    if files:
        flags = find_flags(reading.workloads(files), [values for _, values in reading.documents(files)])
    else:
        flags = find_flags(_asked(cluster, lambda client: reading.workloads_of(client, namespace)), [])
    _show(migrate_flags(flags.given, workload=flags.workload, namespace=flags.namespace), as_json=as_json)


def _asked(cluster: dict[str, str], ask: Callable[[KubeClient], Awaitable[R]]) -> R:
    """Ask the cluster that kubectl uses."""
    import asyncio

    from homing.effects.clock import SystemClock
    from homing.kube.client import KubeClient
    from homing.kube.credentials import find_credentials

    async def asked() -> R:
        credentials = await asyncio.to_thread(find_credentials, cluster["kubeconfig"], cluster["context"])
        async with KubeClient(credentials, clock=SystemClock()) as client:
            return await ask(client)

    return asyncio.run(asked())


def _show(migration: Migration, *, as_json: bool) -> None:
    import json

    if not as_json:
        click.echo(migration.text(), nl=False)
        return
    shown: dict[str, Any] = {"title": migration.title, "steps": migration.guide.steps, "back": migration.guide.back}
    shown |= {"notes": migration.notes, "manifests": migration.manifests, "file": migration.file}
    click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
