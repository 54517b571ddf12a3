"""A real Homing daemon in the lab's home, with a provider of every kind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab import layout
from tests.lab.lab import Lab
from tests.waiting import until

DNS_PORT, WEB_PORT = 5300, 8053

OWN_NAME = "wan.home.arpa"

_SETTINGS = """
[detect]
probe_interval = {probe_interval}

[providers.strato]
type = "strato"
server = "https://{strato}/nic/update"
user = "{strato_account}"
password_file = "strato.password"
cooldown = 1

[providers.gandi]
type = "gandi"
token_file = "gandi.token"

[providers.knot]
type = "rfc2136"
server = "{knot}"
key_name = "{key_name}"
key_file = "tsig.key"

[providers.bind]
type = "rfc2136"
server = "{bind}"
key_name = "{key_name}"
key_file = "tsig.key"

[zones."home.arpa"]

[dns]
listen = ["127.0.0.1:{dns_port}"]

[web]
listen = ["127.0.0.1:{web_port}"]
"""


class Homing:
    """``homing up`` in the home while entered."""

    program: Sequence[str] = ("-m", "homing")
    """What Python runs."""

    patience: float = 2.5
    """Seconds that it may take to end."""

    def __init__(self, lab: Lab, folder: Path, *, probe_interval: float = 2.0) -> None:
        self.lab = lab
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "homing.toml"
        self.names = {
            "strato": layout.STRATO_HOST,
            "gandi": f"www.{layout.GANDI_DOMAIN}",
            "knot": f"www.{layout.KNOT_ZONE}",
            "bind": f"www.{layout.BIND_ZONE}",
            "zone": OWN_NAME,
        }
        (folder / "strato.password").write_text(layout.STRATO_PASSWORD)
        (folder / "gandi.token").write_text(layout.GANDI_TOKEN)
        (folder / "tsig.key").write_text(lab.tsig.secret)
        self.config.write_text(self.settings(probe_interval))
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self, probe_interval: float) -> str:
        """The text of its homing.toml."""
        text = _SETTINGS.format(
            probe_interval=probe_interval,
            strato=layout.STRATO,
            strato_account=layout.STRATO_ACCOUNT,
            knot=self.lab.knot.ipv4,
            bind=self.lab.bind.ipv4,
            key_name=self.lab.tsig.name,
            dns_port=DNS_PORT,
            web_port=WEB_PORT,
        )
        for provider, fqdn in self.names.items():
            text += f'\n[[names]]\nfqdn = "{fqdn}"\nprovider = "{provider}"\ninterval = 10\n'
        return text

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the daemon and wait until its page answers."""
        log = (self.folder / "homing.log").open("ab")
        with log:
            self._process = self.lab.popen("home", self._command("up"), stdout=log, stderr=log)
        until(self.is_up, 15, "the daemon's page")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon by a signal; its exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        try:
            return self._process.wait(self.patience)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def log(self) -> str:
        """All that the daemon has said."""
        return (self.folder / "homing.log").read_text()

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, *self.program, *words, "-c", str(self.config), "--state", str(self.state)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another homing command in the home with the same configuration and state."""
        return self.lab.run("home", self._command(*words), check=False)

    def history(self) -> list[dict[str, Any]]:
        """What ``homing history --json`` tells."""
        argv = [sys.executable, "-m", "homing", "history", "--json", "-n", "500", "--state", str(self.state)]
        return list(json.loads(self.lab.run("home", argv).stdout))

    def get(self, path: str) -> str:
        """What the web server answers."""
        argv = ["curl", "-sS", "--max-time", "3", f"http://127.0.0.1:{WEB_PORT}{path}"]
        return self.lab.run("home", argv, check=False).stdout

    def is_up(self) -> bool:
        """Whether the page answers."""
        return "ready" in self.get("/readyz")

    def metric(self, line: str) -> float:
        """The value of a metric with its labels; 0 when it is not there."""
        found = [text for text in self.get("/metrics").splitlines() if text.rpartition(" ")[0] == line]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    def published(self, provider: str) -> set[str]:
        """What a provider really holds for its name, both families, asked at the provider itself."""
        name = self.names[provider]
        if provider == "strato":
            return set(self.lab.strato()["published"].get(name, ()))
        if provider == "gandi":
            held = self.lab.gandi()
            return {value for rtype in ("A", "AAAA") for value in held.get(("www", rtype), ())}
        if provider == "zone":
            argv = ["dig", "+short", "+time=1", "+tries=1", "@127.0.0.1", "-p", str(DNS_PORT), name]
            return {
                line
                for rtype in ("A", "AAAA")
                for line in self.lab.run("home", [*argv, rtype], check=False).stdout.split()
            }
        server = self.lab.knot if provider == "knot" else self.lab.bind
        return {value for rtype in ("A", "AAAA") for value in self.lab.dig(server, name, rtype)}

    def all_hold(self, *addresses: str) -> bool:
        """Whether every name holds exactly these addresses."""
        return all(self.published(provider) == set(addresses) for provider in self.names)
