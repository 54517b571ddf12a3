"""Homing as real processes: a house with configuration and state, its daemon, its commands, the internet around."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self, TypeVar

from homing.standins.internet import StandInInternet
from tests.waiting import patience, until

T = TypeVar("T")

HOME, MOVED = IPv4Address("203.0.113.10"), IPv4Address("203.0.113.20")
"""WAN addresses, from a network that nobody has (RFC 5737)."""

PASSWORD, TOKEN = "open-sesame-4711", "token-of-the-house-0815"

WWW, GANDI, OWN = "www.example.de", "www.example.org", "wan.home.arpa"
"""A name at Strato, one at Gandi, one in the own zone."""

HOMING = (sys.executable, "-m", "homing")


@contextlib.contextmanager
def serving(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """A stand-in that runs in an event loop of its own thread, so that a test may wait for processes meanwhile."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        entered = asyncio.run_coroutine_threadsafe(_enter(server), loop).result(10)
        try:
            yield entered
        finally:
            asyncio.run_coroutine_threadsafe(_leave(server), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _enter(server: AbstractAsyncContextManager[T]) -> T:
    return await server.__aenter__()


async def _leave(server: AbstractAsyncContextManager[Any]) -> None:
    """Leave it, and end what still hangs in one of its requests."""
    await server.__aexit__(None, None, None)
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def internet(
    *hosts: str, wan: IPv4Address = HOME, key: bool = False
) -> contextlib.AbstractContextManager[StandInInternet]:
    """A stand-in internet over IPv4. ``hosts`` are Strato's, each an account of its own; Gandi has example.org."""
    return serving(_internet(hosts or (WWW,), wan, key=key))


def _internet(hosts: Iterable[str], wan: IPv4Address, *, key: bool) -> StandInInternet:
    made = StandInInternet(
        wan,
        strato_hosts={host: host for host in hosts},
        strato_passwords=dict.fromkeys(hosts, PASSWORD),
        gandi_domains=["example.org"],
        gandi_token=TOKEN,
        serve_ipv6=False,
    )
    if key:
        made.gandi.token, made.gandi.key = "", TOKEN
    return made


def settings(world: StandInInternet, *, detect: str = "", observers: int = 3) -> str:
    """A homing.toml that asks the stand-in internet only, with the providers strato and gandi and zone home.arpa."""
    stun = [_table(one.operator, "server", str(one.endpoint)) for one in world.stun_observers[:observers]]
    http = [_table(one.operator, "url", one.endpoint.url("/")) for one in world.http_observers]
    return f"""
[detect]
accept = ["203.0.113.0/24"]
families = [4]
interval = 60
probe_interval = 0.3
{detect or "timeout = 2"}
whoami = {{ enabled = false }}
interface = {{ enabled = false }}
stun = {{ servers = [{", ".join(stun)}] }}
http = {{ services = [{", ".join(http)}] }}

[zones."home.arpa"]

[providers.strato]
type = "strato"
server = "{world.strato_url}"
password_file = "strato.password"
cooldown = 1
timeout = 5

[providers.gandi]
type = "gandi"
server = "{world.gandi_url}/v5/livedns"
token_file = "gandi.token"
timeout = 5
"""


def _table(operator: str, kind: str, value: str) -> str:
    return f'{{ operator = "{operator}", {kind} = "{value}" }}'


def name(fqdn: str, provider: str, **keys: object) -> str:
    """A [[names]] table for IPv4; further keys as they are in TOML."""
    table: dict[str, object] = {"fqdn": fqdn, "provider": provider, "families": [4], "interval": 600, **keys}
    return "\n[[names]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


THREE = name(WWW, "strato") + name(GANDI, "gandi") + name(OWN, "zone")
"""A name at each provider."""


class House:
    """A folder with configuration, secrets and state, and nothing from the machine's own home or environment."""

    def __init__(self, folder: Path, text: str, *, config: str = "homing.toml") -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / config
        self.write(text)
        self.password = folder / "strato.password"
        self.password.write_text(PASSWORD + "\n")
        (folder / "gandi.token").write_text(TOKEN)

    def write(self, text: str) -> None:
        """Change the configuration."""
        self.config.write_text(text)

    def words(self, *words: str) -> list[str]:
        """A homing command on this house's configuration and state, as far as it takes those options."""
        given = [] if words[0] in ("status", "history", "unlock") else ["-c", str(self.config)]
        state = [] if words[0] in ("detect", "check", "tell") else ["--state", str(self.state)]
        return [*HOMING, *words, *given, *state]

    def run(self, *words: str, within: Iterable[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; ``within`` is a command that makes namespaces."""
        return execute([*within, *self.words(*words)], environment(self.folder))

    def data(self, *words: str) -> Any:
        """What a command with ``--json`` tells."""
        return json.loads(self.run(*words, "--json").stdout)

    def states(self) -> dict[str, str]:
        """The state of each name, as ``homing status --json`` tells it."""
        return {item["fqdn"]: item["state"] for item in self.data("status")["names"]}

    def listens(self) -> list[str]:
        """Where its DNS server listens."""
        words = ("dns", "stats", "--json", "--state", str(self.state))
        listen: list[str] = json.loads(run(*words, home=self.folder).stdout)["listen"]
        return listen

    @contextlib.contextmanager
    def starting(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs meanwhile."""
        env, null = environment(self.folder), subprocess.DEVNULL
        process = subprocess.Popen(self.words(*words), env=env, stdin=null, stdout=null, stderr=null)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def up(self, *, within: Iterable[str] = (), at_once: bool = False, **more: str) -> Daemon:
        """The daemon on free ports, while entered; ``at_once`` does not wait until it serves."""
        argv = [*within, *self.words("up", "--dns", "127.0.0.1:0", "--web", "127.0.0.1:0")]
        return Daemon(argv, self.folder, environment(self.folder, **more), at_once=at_once)


class Daemon:
    """A daemon's process. Leaving it asserts a clean end: in time, with status 0, without a traceback."""

    def __init__(self, argv: list[str], folder: Path, env: Mapping[str, str], *, at_once: bool = False) -> None:
        self._argv, self._env, self._at_once = argv, env, at_once
        count = len(list(folder.glob("up-*.log")))
        self._out, self._log = folder / f"up-{count}.out", folder / f"up-{count}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._out.open("wb") as out, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=self._env, cwd=self._out.parent
            )
        if not self._at_once:
            self.wait_until_up()
        return self

    def wait_until_up(self) -> None:
        """Wait for the announcement."""
        try:
            until(lambda: "\n  state " in self.told or self.process.poll() is not None, 60, "the announcement")
            assert self.process.poll() is None, f"status {self.process.poll()}: {self.log}"
        except AssertionError:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is None:
            return
        if kind is not None:
            self.kill()
        else:
            self.stop()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process."""
        assert self._process is not None
        return self._process

    @property
    def told(self) -> str:
        """What it printed on standard output."""
        return self._out.read_text()

    @property
    def log(self) -> str:
        """What it printed on standard error."""
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, limit: float = 10) -> float:
        """End it by a signal; the seconds until it had ended, which it did with status 0."""
        began = time.monotonic()
        self.send(number)
        try:
            status = self.process.wait(limit * patience())
            took = time.monotonic() - began
        finally:
            self.kill()
        assert status == 0, self.log
        assert self._env.get("HOMING_DEBUG") or "Traceback" not in self.log
        return took

    def kill(self) -> None:
        """SIGKILL, and forget the process."""
        self.process.kill()
        self.process.wait()
        self._process = None

    @property
    def web(self) -> str:
        """Where the page is, without the slash at the end."""
        return self._told(r"page +(http://\S+)/")

    @property
    def dns(self) -> tuple[str, int]:
        """Where DNS is served."""
        host, _, port = self._told(r"DNS .* on (\S+?),? ").rpartition(":")
        return host, int(port)

    def _told(self, pattern: str) -> str:
        found = re.search(pattern, self.told)
        assert found is not None, self.told
        return found.group(1)

    def get(self, path: str = "/") -> str:
        """What the page's server answers; the body of an error too."""
        return get(self.web + path)[1]

    def row(self, fqdn: str) -> str:
        """A name's row on the page, without the markup."""
        found = re.search(rf'<tr>\s*<th scope="row"><code>{re.escape(fqdn)}</code>.*?</tr>', self.get(), re.DOTALL)
        return " ".join(re.sub(r"<[^>]*>", " ", found.group()).split()) if found else ""

    def is_in_sync(self, *names: str) -> bool:
        """Whether the page says so of all these names."""
        return all(" in-sync " in self.row(fqdn) for fqdn in names)

    def metric(self, line: str) -> float:
        """The value of a metric with its labels; 0 when it is not there."""
        found = [text for text in self.get("/metrics").splitlines() if text.rpartition(" ")[0] == line]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    def answers(self, fqdn: str) -> set[str]:
        """The IPv4 addresses that the built-in DNS server gives for a name."""
        import dns.message
        import dns.query
        import dns.rdatatype

        host, port = self.dns
        response = dns.query.udp(dns.message.make_query(fqdn, "A"), host, timeout=3, port=port)
        return {rdata.address for item in response.answer if item.rdtype == dns.rdatatype.A for rdata in item}


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment in which Homing finds no configuration, no state and no proxy but what is given."""
    secret = ("XDG_", "HOMING_", "NOTIFY_", "STATE_", "CREDENTIALS_", "COLUMNS", "LINES")
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(secret) and not key.lower().endswith("_proxy")
    }
    return {**kept, "HOME": str(home), **more}


def run(*words: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run ``homing WORDS`` to its end, with nothing of the machine's own configuration."""
    return execute([*HOMING, *words], environment(home, **more))


def execute(argv: Iterable[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; there is never a traceback, unless it was asked for."""
    done = subprocess.run(
        list(argv),
        env=env,
        cwd=env["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30 * patience(),
        check=False,
    )
    assert env.get("HOMING_DEBUG") or "Traceback" not in done.stderr + done.stdout
    return done


def the_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error that tells what went wrong."""
    (line,) = done.stderr.splitlines()
    assert line.startswith("homing: ")
    return line


def get(url: str) -> tuple[int, str]:
    """Status and body of a GET; (0, "") when nobody answers. No proxy is asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
