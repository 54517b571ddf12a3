"""``homing crds``."""

from __future__ import annotations

from pathlib import Path

import click

from homing.app.cli.common import tells_errors


@click.command("crds")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Only this kind, by its name, plural or short name; may be given more than once.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a file for each kind into this directory instead.",
)
@tells_errors
def crds_command(kinds: tuple[str, ...], output: Path | None) -> None:
    """Print the definitions of Homing's kinds for Kubernetes as YAML.

    \b
    Kinds: Domain, Provider, ClusterProvider, Site and Zone of homing.dev, and the Domain
    of dyndns.contrib.strato.com. They need Kubernetes 1.31 or newer.

    \b
    Examples:
      homing crds | kubectl apply -f -
      homing crds --kind Site --kind Zone
      homing crds --kind domains.homing.dev
      homing crds --output deploy/crds
    """
    from homing.errors import ConfigError
    from homing.kube.crd import DEFINITIONS, select, to_yaml

    chosen = list(DEFINITIONS)
    if kinds:
        found = {name: select(name) for name in kinds}
        for name, definitions in found.items():
            if not definitions:
                known = ", ".join(dict.fromkeys(definition.resource.kind for definition in DEFINITIONS))
                raise ConfigError("--kind", f"there is no kind {name!r}", f"one of: {known}")
        chosen = [item for item in DEFINITIONS if any(item in definitions for definitions in found.values())]
    if output is None:
        click.echo(to_yaml(chosen), nl=False)
        return
    output.mkdir(parents=True, exist_ok=True)
    for definition in chosen:
        path = output / definition.file
        path.write_text(to_yaml([definition]), encoding="utf-8")
        click.echo(f"wrote {path}")
