"""``homing dns``: serve master files, check them, show what the server counts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homing.app.cli.common import USAGE, json_option, state_directory, tells_errors
from homing.app.cli.node_flags import node_zone_options, writable_state

if TYPE_CHECKING:
    from homing.app.dns.figures import DnsFigures
    from homing.app.dns.serve import Beside, FileServer

MAX_WORKERS = 256

RATE = 200.0
"""Responses a second to one client network."""

MANY_FILES = 500
"""Files from which up their reading is shown on a terminal; fewer are read before anybody could look."""

_state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The state directory.  [default: $STATE_DIRECTORY, else $XDG_STATE_HOME/homing/dns]",
)


class _Group(click.Group):
    """Says what to do when a shell put several files behind one option."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand, as click finds it."""
        if self.get_command(ctx, args[0]) is None:
            known = ", ".join(self.list_commands(ctx))
            raise click.UsageError(
                f"{args[0]!r} is none of {known}; write --zone-file before each file, or --zone-dir with their folder",
                ctx,
            )
        return super().resolve_command(ctx, args)


@click.group("dns", cls=_Group, invoke_without_command=True, subcommand_metavar="[check|stats]")
@click.option(
    "--zone-file", "files", multiple=True, metavar="FILE", type=click.Path(path_type=Path), help="A master file."
)
@click.option(
    "--zone-dir", "directories", multiple=True, metavar="DIR", type=click.Path(path_type=Path),
    help="A folder: every *.zone in it.",
)  # fmt: skip
@click.option(
    "--bind", multiple=True, metavar="ADDRESS", default=("",), help="An IP address to serve on.  [default: all]"
)
@click.option("--port", default=53, show_default=True, type=click.IntRange(0, 65535), help="UDP and TCP.")
@click.option(
    "--workers", type=click.IntRange(1, MAX_WORKERS), help="Processes that answer.  [default: the CPUs usable]"
)
@click.option("--web", metavar="HOST:PORT", help="Where page, /metrics, /healthz, /readyz and /dns are served.")
@click.option(
    "--web-token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Readers of the page must give the token that is in it.",
)
@click.option(
    "--secondary",
    "secondaries",
    multiple=True,
    metavar="ADDRESS[:PORT][,key=NAME]",
    help="A server that follows all zones: it is told of changes and may transfer.",
)
@click.option(
    "--transfer", multiple=True, metavar="ADDRESS|NETWORK|key=NAME", help="Who else may transfer; ADDRESS,key=NAME too."
)
@click.option(
    "--key",
    "key_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="TSIG keys, as tsig-keygen and keymgr -t print them.",
)
@click.option("--catalog", default="", metavar="NAME", help="Serve a catalog zone of all zones for secondaries.")
@click.option("--nsid", default="", metavar="TEXT", help="Told to who asks which server this is (NSID).")
@click.option("--version-bind", default="", metavar="TEXT", help="Answer version.bind in class CHAOS by this.")
@click.option("--id-server", default="", metavar="TEXT", help="Answer id.server in class CHAOS by this.")
@click.option(
    "--rate-limit",
    default=RATE,
    show_default=True,
    type=click.FloatRange(0, 1e9),
    metavar="N",
    help="Responses a second to one client network; 0 for no limit.",
)
@click.option(
    "--cookie-secret-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="32 hex digits, for servers that share an address.",
)
@click.option("--kubernetes", is_flag=True, help="Serve the Zones of the cluster that this runs in, or kubectl uses.")
@click.option(
    "--kubeconfig", envvar="HOMING_KUBECONFIG", metavar="FILE", default="", help="Of another cluster: its Zones."
)
@click.option("--context", "kube_context", metavar="NAME", default="", help="A context of the kubeconfig.")
@click.option(
    "--namespace", envvar=["HOMING_NAMESPACE", "POD_NAMESPACE"], metavar="NAME", default="",
    help="Where the Lease of the replicas lives.  [default: the own one]",
)  # fmt: skip
@click.option(
    "--watch-namespace", "watch_namespaces", multiple=True, metavar="NAME",
    help="Take Domains of this namespace only; may be repeated.  [default: all]",
)  # fmt: skip
@click.option(
    "--identity", envvar=["HOMING_IDENTITY", "POD_NAME"], metavar="NAME", default="",
    help="In the Lease.  [default: host and process]",
)  # fmt: skip
@click.option("--lease-duration", type=float, metavar="SECONDS", help="How long the Lease holds.  [default: 15]")
@click.option(
    "--advertise", envvar=["HOMING_ADVERTISE", "POD_IP"], metavar="ADDRESS[:PORT]", default="",
    help="Where other replicas reach this one.  [default: the address towards the API server]",
)  # fmt: skip
@click.option(
    "--node-name", envvar=["HOMING_NODE_NAME", "NODE_NAME"], metavar="NAME", default="",
    help="The node this runs on, whose Site is not checked; - for none.  [default: the host name]",
)  # fmt: skip
@click.option(
    "--linger", envvar="HOMING_LINGER", type=click.FloatRange(0, 600), default=0.0, metavar="SECONDS",
    help="Still answer for so long after SIGTERM; /readyz says no.  [default: 0]",
)  # fmt: skip
@node_zone_options
@_state_option
@click.option(
    "--log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"]), help="What to log."
)
@click.option("--log-format", default="text", type=click.Choice(["text", "json"]), help="How to log it.")
@click.pass_context
@tells_errors
def dns_command(
    context: click.Context,
    files: tuple[Path, ...],
    directories: tuple[Path, ...],
    bind: tuple[str, ...],
    port: int,
    workers: int | None,
    web: str | None,
    web_token_file: Path | None,
    secondaries: tuple[str, ...],
    transfer: tuple[str, ...],
    key_files: tuple[Path, ...],
    catalog: str,
    nsid: str,
    version_bind: str,
    id_server: str,
    rate_limit: float,
    cookie_secret_file: Path | None,
    kubernetes: bool,
    kubeconfig: str,
    kube_context: str,
    namespace: str,
    watch_namespaces: tuple[str, ...],
    identity: str,
    lease_duration: float | None,
    advertise: str,
    node_name: str,
    linger: float,
    nodes: dict[str, Any] | None,
    state: Path | None,
    log_level: str,
    log_format: str,
) -> None:
    """Serve zones from master files (RFC 1035) or of a Kubernetes cluster, on all addresses unless told otherwise.

    A file may leave its $ORIGIN to its name: example.org.zone. SIGHUP reads changed files again; one that is broken
    keeps its zone as it was. SIGTERM stops. A file that is broken at the start is told and left out.

    With --kubernetes it serves the Zones of a cluster and the Domains published there. Of several replicas one leads,
    by the Lease homing-dns; the others follow it, and each serves what it knows, without the API server too.

    With --zone it serves the nodes and Services of the cluster, AREA.ZONE and SERVICE.NAMESPACE.ZONE, with the flags
    of the Go node DNS. That needs no kinds of Homing in the cluster: each replica looks by itself.

    \b
    Examples:
      homing dns --zone-file example.org.zone --bind 127.0.0.1 --port 5300
      homing dns --zone-dir /etc/homing/zones --web 127.0.0.1:8053
      homing dns --kubernetes --web :8053
      homing dns --zone lb.example.org --soa-ns ns1.lb.example.org:192.0.2.1 --soa-email admin@example.org
      homing dns --zone-dir zones --key ns2.key --secondary 192.0.2.1,key=ns2 --catalog catalog.invalid
      homing dns check /etc/homing/zones
      homing dns stats --watch

    Exit status: 0 after SIGTERM, 2 when there is no zone to serve, 1 when an address cannot be served.
    """
    if context.invoked_subcommand is not None:
        if files or directories or kubernetes:
            raise click.UsageError(f"options for serving do not go with {context.invoked_subcommand}", context)
        return
    kubernetes = kubernetes or (bool(kubeconfig) and nodes is None)
    if not files and not directories and not kubernetes and nodes is None:
        told = "give zones: --zone-file FILE or --zone-dir DIR, any number of each, --kubernetes, or --zone"
        raise click.UsageError(told, context)

    import asyncio

    from homing.app.dns.serve import FileServer, Options
    from homing.app.dns.ways import server_setup
    from homing.app.places import parse_listen
    from homing.app.secondaries import flags_policy
    from homing.effects.log import configure
    from homing.effects.secret import secret_from_file

    configure(log_level, json=log_format == "json")
    where = "--cookie-secret-file"
    secret = secret_from_file(cookie_secret_file, where, private=True) if cookie_secret_file is not None else None
    options = Options(
        files,
        directories,
        tuple(_address(text) for text in bind),
        port,
        workers or _usable_cpus(),
        _state(state) if nodes is None else writable_state(_state(state)),
        (parse_listen(web, "--web", 8053),) if web and web != "off" else (),
        web_token_file,
        flags_policy(secondaries, transfer, key_files, catalog),
        server_setup("homing dns", nsid, version_bind, id_server, rate_limit, secret),
        linger,
    )
    beside: list[Beside] = []
    if kubernetes or nodes is not None:
        from homing.app.cluster.settings import load_settings

        given = {
            "kubeconfig": kubeconfig,
            "context": kube_context,
            "namespace": namespace,
            "watch_namespaces": watch_namespaces,
            "identity": identity,
            "lease_duration": lease_duration,
            "advertise": advertise,
            "node_name": node_name,
        }
        settings = load_settings(None, {key: value for key, value in given.items() if value})
        if nodes is not None:
            from homing.app.cluster.nodes import NodeFlags, NodeZone

            beside.append(NodeZone(NodeFlags(**nodes), settings))
        if kubernetes:
            from homing.app.cluster.dns import ClusterZones

            beside.append(ClusterZones(settings, options.follow))
    one = beside[0] if beside else None
    if len(beside) > 1:
        from homing.app.dns.beside import Joined

        one = Joined(beside)
    asyncio.run(FileServer(options, beside=one).run(_announce, _progress()))


@dns_command.command("check")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...", type=click.Path(path_type=Path))
@json_option
@tells_errors
def check_command(paths: tuple[Path, ...], as_json: bool) -> None:
    """Read master files as the server would, and say what is wrong with each.

    \b
    Examples:
      homing dns check example.org.zone
      homing dns check /etc/homing/zones --json

    Exit status: 0 when all can be served, 2 when not.
    """
    import json

    from homing.app.dns.files import ZoneFiles

    files = [path for path in paths if not path.is_dir()]
    found = ZoneFiles(files, [path for path in paths if path.is_dir()]).read(_progress())
    if as_json:
        zones = [
            {"zone": origin.text, "file": str(path), "serial": zone.serial, "names": len(zone.nodes)}
            for origin, (path, zone) in found.zones.items()
        ]
        errors = [{"where": one.where, "problem": one.problem, "remedy": one.remedy} for one in found.errors]
        click.echo(json.dumps({"zones": zones, "errors": errors}))
    else:
        for error in found.errors:
            click.secho(f"homing: {error}", fg="red", err=True)
        if not found.errors:
            click.echo(f"fine: {_zones(len(found.zones))}")
    sys.exit(USAGE if found.errors else 0)


@dns_command.command("stats")
@click.option("--web", metavar="URL", help="Ask a server's page, such as http://127.0.0.1:8053.")
@click.option(
    "--web-token-file", metavar="FILE", type=click.Path(path_type=Path), help="The token that the page asks for."
)
@_state_option
@json_option
@click.option("--watch", is_flag=True, help="Again every second, until interrupted.")
@tells_errors
def stats_command(web: str | None, web_token_file: Path | None, state: Path | None, as_json: bool, watch: bool) -> None:
    """Show what the DNS server of `homing dns` or `homing up` is asked, and how it answers.

    Asks the server on this machine by its state directory, or any by its page.

    \b
    Examples:
      homing dns stats
      homing dns stats --watch
      homing dns stats --web http://127.0.0.1:8053 --json

    Exit status: 0; 1 when no server answers.
    """
    import msgspec

    from homing.app.dns.report import figures_text

    look = _by_web(web, web_token_file) if web else _by_socket(state)
    before: DnsFigures | None = None
    if not as_json:
        before = look()
        time.sleep(1.0)
    while True:
        now = look()
        if as_json:
            click.echo(msgspec.json.encode(now))
        else:
            if watch:
                click.clear()
            click.echo(figures_text(now, before) + ("\n" if watch and not sys.stdout.isatty() else ""))
        if not watch:
            return
        sys.stdout.flush()
        before = now
        time.sleep(1.0)


def _by_socket(state: Path | None) -> Callable[[], DnsFigures]:
    """Ask by the state directory; without one, that of ``homing dns``, then that of ``homing up``."""
    import msgspec

    from homing.app.dns.figures import DnsFigures
    from homing.app.dns.local import FILE, ask
    from homing.errors import HomingError

    directory = _state(state)
    if state is None and not (directory / FILE).exists() and (state_directory(None) / FILE).exists():
        directory = state_directory(None)

    def look() -> DnsFigures:
        try:
            return msgspec.json.decode(ask(directory), type=DnsFigures)
        except msgspec.DecodeError:
            problem = "answered without figures of a DNS server"
            raise HomingError(f"{directory / FILE} {problem}; is it just ending, or of another version?") from None

    return look


def _by_web(url: str, token_file: Path | None) -> Callable[[], DnsFigures]:
    """Ask a page; whatever comes but figures is an error that names it."""
    import asyncio

    import msgspec

    from homing.app.dns.figures import DnsFigures
    from homing.app.dns.local import MAX_DOCUMENT
    from homing.effects.http import HttpClient, HttpError, HttpResponse
    from homing.effects.secret import secret_from_file
    from homing.errors import HomingError

    token = secret_from_file(token_file, "--web-token-file") if token_file is not None else None
    base = (url if "://" in url else f"http://{url}").rstrip("/")

    async def get() -> HttpResponse:
        async with HttpClient() as http:
            headers = {"Authorization": f"Bearer {token.reveal()}"} if token is not None else {}
            return await http.request("GET", f"{base}/dns", timeout=3.0, max_body=MAX_DOCUMENT, headers=headers)

    def look() -> DnsFigures:
        try:
            response = asyncio.run(get())
        except HttpError as error:
            raise HomingError(f"{base}: {error}; is the server running, and its page there?") from None
        if response.status == 401:
            raise HomingError(f"{base}/dns: it asks for a token; give its file: --web-token-file")
        try:
            return msgspec.json.decode(response.body, type=DnsFigures)
        except msgspec.DecodeError:
            problem = f"answered {response.status} without figures of a DNS server"
            raise HomingError(f"{base}/dns: {problem}; name the page of homing up or homing dns --web") from None

    return look


def _state(given: Path | None) -> Path:
    """Where the state is: beside that of ``homing up``, so that both can run."""
    if given is not None or os.environ.get("STATE_DIRECTORY"):
        return state_directory(given)
    return state_directory(None) / "dns"


def _address(text: str) -> str:
    from homing.errors import ConfigError, ModelError
    from homing.model.address import parse_address

    try:
        return str(parse_address(text)) if text else ""
    except ModelError as error:
        raise ConfigError("--bind", str(error), "write an IP address; the port goes with --port") from None


def _usable_cpus() -> int:
    """Those this process may run on; where the system does not say, all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _zones(count: int) -> str:
    return f"{count:,} zone{'s' if count != 1 else ''}"


def _progress() -> Callable[[int, int], None]:
    """A line on a terminal that counts files while they load; nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda done, of: None
    told = 0.0

    def progress(done: int, of: int) -> None:
        nonlocal told
        now = time.monotonic()
        if of < MANY_FILES:
            return
        if done == of:
            sys.stderr.write("\r\x1b[K")
        elif now - told >= 0.1:
            told = now
            sys.stderr.write(f"\rreading zone files: {done:,} of {of:,}")
        sys.stderr.flush()

    return progress


def _announce(server: FileServer) -> None:
    """Where to look, on standard output."""
    loaded = server.authority.zones.loaded
    names = sum(len(zone.nodes) for zone in loaded.values())
    workers = server.options.workers
    lines = [click.style("Homing", bold=True) + f" serves {_zones(len(loaded))} with {names:,} names."]
    lines += [f"  page   http://{address}/" for address in server.web_listen]
    processes = "1 worker" if workers == 1 else f"{workers} workers"
    lines.append(f"  DNS    {_zones(len(loaded))} on {', '.join(server.dns_listen)} (UDP and TCP), {processes}")
    if server.broken:
        lines.append(click.style(f"  wrong  {len(server.broken)} of the files, as told", fg="red"))
    lines.append(f"  state  {server.options.state}")
    try:
        click.echo("\n".join(lines))
        sys.stdout.flush()
    except OSError:  # whoever reads may have gone; the zones are served all the same
        return
