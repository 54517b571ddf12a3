"""The flags of ``homing dns`` for a zone of nodes and Services: those of the Go node DNS, and what is beyond."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SECONDS = click.IntRange(0, 2**32 - 1)

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the directory made there is the user's alone

_OPTIONS = (
    click.option("--zone", default="", metavar="NAME", help="Serve a zone of the cluster's nodes and Services."),
    click.option(
        "--soa-ns", default="", metavar="NAME[:IP,IP];...", help="Its name servers, the first is the primary."
    ),
    click.option("--soa-email", default="", metavar="MAIL", help="Who is responsible: admin@example.org."),
    click.option("--ttl", default=30, show_default=True, type=SECONDS, help="Of its addresses."),
    click.option("--soa-refresh", default=3600, show_default=True, type=SECONDS, help="Of its SOA."),
    click.option("--soa-retry", default=900, show_default=True, type=SECONDS, help="Of its SOA."),
    click.option("--soa-expire", default=86400, show_default=True, type=SECONDS, help="Of its SOA."),
    click.option("--soa-ttl", default=30, show_default=True, type=SECONDS, help="Of its SOA."),
    click.option("--soa-neg-ttl", default=30, show_default=True, type=SECONDS, help="Of negative answers."),
    click.option(
        "--areas-annotation", default="k8s.pootis.network/node-areas", show_default=True, metavar="KEY",
        help="Of nodes: their areas, by comma.",
    ),
    click.option(
        "--ips-annotation", default="k8s.pootis.network/node-ips", show_default=True, metavar="KEY",
        help="Of nodes: their addresses, by comma; auto for those of their Site.",
    ),
    click.option(
        "--service-annotation", default="k8s.pootis.network/dns", show_default=True, metavar="KEY",
        help='Of Services: "true" for a name.',
    ),
    click.option(
        "--default-ips", default="none", show_default=True, type=click.Choice(["none", "auto"]),
        help="Addresses of nodes without that annotation.",
    ),
    click.option(
        "--health-check", default="", metavar="tcp:443|http:80/PATH|https:443/PATH|icmp",
        help="Check the addresses; one that fails is left out where others pass.  [default: no checks]",
    ),
    click.option("--leader-elect", is_flag=True, help="Accepted and not needed: every replica answers by itself."),
)  # fmt: skip


_KEYS = (
    "zone", "soa_ns", "soa_email", "ttl", "soa_refresh", "soa_retry", "soa_expire", "soa_ttl", "soa_neg_ttl",
    "areas_annotation", "ips_annotation", "service_annotation", "default_ips", "health_check",
)  # fmt: skip


def node_zone_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags; the command gets those given as ``nodes``, None without ``--zone``. Raises UsageError."""

    @functools.wraps(function)
    def wrapped(*args: Any, **given: Any) -> Any:
        flags = {key: given.pop(key) for key in _KEYS}
        given.pop("leader_elect")
        mandatory = {f"--{key.replace('_', '-')}": flags[key] for key in ("zone", "soa_ns", "soa_email")}
        missing = [flag for flag, text in mandatory.items() if not text]
        if missing and len(missing) < len(mandatory):
            raise click.UsageError(f"a zone of nodes needs {' and '.join(missing)} too")
        if missing and flags["health_check"]:
            raise click.UsageError("--health-check is of --zone; a kind Zone says it in spec.cluster.healthCheck")
        return function(*args, nodes=None if missing else flags, **given)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def writable_state(state: Path) -> Path:
    """The state directory; where it cannot be made, as in a container whose files are read-only, one in memory."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(state, os.W_OK):
            return state
    except OSError:
        pass
    memory = SHARED_MEMORY / f"homing-dns-{os.getuid()}"
    try:
        memory.mkdir(exist_ok=True, mode=0o700)
        found = memory.lstat()
    except OSError:
        return state
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return memory if own else state
