"""``python -m homing.standins``: the stand-ins as one process, for a network namespace of the lab."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import ssl
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from homing.model.address import family_of, parse_address
from homing.standins.checkip import CheckIpServer
from homing.standins.control import Control, Controlled
from homing.standins.gandi import GandiServer
from homing.standins.listen import Listen, parse_listen
from homing.standins.strato import Patience, StratoServer
from homing.standins.stun import StunServer
from homing.standins.whoami import WhoamiServer


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="python -m homing.standins",
        description="Stand-ins for what Homing asks and where it publishes. They tell each client the address it is "
        "seen with, or that of --wan. Options with an ADDRESS may be given again. Ends at SIGTERM; prints 'ready' when "
        "all listen.",
    )
    for name, what in (
        ("stun", "STUN over UDP and TCP"),
        ("whoami", "DNS whoami over UDP"),
        ("checkip", "HTTP check service"),
        ("checkip-tls", "the same over TLS"),
        ("strato", "Strato's DynDNS"),
        ("strato-tls", "the same over TLS"),
        ("gandi", "Gandi's LiveDNS"),
        ("gandi-tls", "the same over TLS"),
    ):
        command.add_argument(f"--{name}", action="append", default=[], metavar="ADDRESS:PORT", help=what)
    command.add_argument(
        "--wan", action="append", default=[], metavar="ADDRESS", help="what clients of its family are told"
    )
    command.add_argument("--tls-cert", type=Path, help="certificate chain, PEM; needed with the -tls options")
    command.add_argument("--tls-key", type=Path, help="its key, PEM")
    command.add_argument(
        "--accounts",
        type=Path,
        help='JSON file {"strato_hosts": {HOST: ACCOUNT}, "strato_passwords": {ACCOUNT: PASSWORD}, '
        '"gandi_domains": [DOMAIN], "gandi_token": TOKEN, "gandi_key": KEY}',
    )
    command.add_argument(
        "--endless-patience", action="store_true", help="the Strato stand-in never says abuse by itself"
    )
    command.add_argument("--control", type=Path, metavar="SOCKET", help="Unix socket of the control endpoint")
    return command


async def serve(arguments: argparse.Namespace) -> None:
    """Run what the command line asks for until SIGTERM or SIGINT."""
    tls: ssl.SSLContext | None = None
    if arguments.tls_cert is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.tls_cert, arguments.tls_key)

    def listens(name: str) -> tuple[Listen, ...]:
        return (*map(parse_listen, getattr(arguments, name)), *_encrypted(getattr(arguments, f"{name}_tls", []), tls))

    accounts: dict[str, Any] = json.loads(arguments.accounts.read_text()) if arguments.accounts else {}
    patience = Patience(nochg=None, requests=None) if arguments.endless_patience else Patience()
    wan = {family_of(address): address for address in map(parse_address, arguments.wan)}
    told = wan.get if wan else None
    checkip = CheckIpServer(listens("checkip"), told)
    strato = StratoServer(
        accounts.get("strato_hosts", {}),
        accounts.get("strato_passwords", {}),
        listens=listens("strato"),
        patience=patience,
    )
    gandi = GandiServer(
        accounts.get("gandi_domains", []),
        token=accounts.get("gandi_token", ""),
        key=accounts.get("gandi_key", ""),
        listens=listens("gandi"),
    )
    services: dict[str, Controlled] = {"checkip": checkip, "strato": strato, "gandi": gandi}
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with AsyncExitStack() as stack:
        for server in (
            StunServer(listens("stun"), told),
            WhoamiServer(listens("whoami"), told),
            checkip,
            strato,
            gandi,
        ):
            await stack.enter_async_context(server)
        if arguments.control is not None:
            await stack.enter_async_context(Control(arguments.control, services, wan))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await ended.wait()


def _encrypted(texts: Sequence[str], tls: ssl.SSLContext | None) -> tuple[Listen, ...]:
    if texts and tls is None:
        raise SystemExit("the -tls options need --tls-cert and --tls-key")
    return tuple(parse_listen(text, tls) for text in texts)


def main() -> None:
    """The command."""
    try:
        asyncio.run(serve(parser().parse_args()))
    except (OSError, ValueError) as error:
        raise SystemExit(f"stand-ins cannot start: {error}") from None


if __name__ == "__main__":
    main()
