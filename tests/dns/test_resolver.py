"""BIND as a resolver that asks the server: cookies, TC and TCP, negative answers, as resolvers of the internet do."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import pytest

from homing.dns.message import Rcode
from homing.dns.stats import Transport
from tests.dns.peers import SYSTEM_PATH, end
from tests.dns.test_server import full, running
from tests.ports import free_port
from tests.waiting import patience

pytestmark = pytest.mark.peers


def configured(home: Path, port: int, server: int) -> Path:
    """A named.conf of a resolver that gets everything from one server."""
    path = home / "named.conf"
    path.write_text(
        f'options {{ directory "{home}"; pid-file "{home}/pid"; session-keyfile "{home}/session.key";\n'
        f"  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion yes; dnssec-validation no;\n"
        f"  empty-zones-enable no; forward only; forwarders {{ 127.0.0.1 port {server}; }}; }};\ncontrols {{ }};\n"
    )
    return path


async def resolve(port: int, fqdn: str, rtype: str = "A") -> dns.message.Message:
    """What the resolver says, once it is there."""
    query = dns.message.make_query(fqdn, rtype)
    async with asyncio.timeout(20 * patience()):
        while True:
            try:
                return await dns.asyncquery.tcp(query, "127.0.0.1", port=port, timeout=5 * patience())
            except (OSError, dns.exception.DNSException, EOFError):
                await asyncio.sleep(0.05)


async def test_a_resolver_gets_what_it_asks(tmp_path: Path) -> None:
    """Addresses, a chain of CNAMEs, 99 addresses by TCP after TC, NXDOMAIN and NODATA come through to its clients."""
    named = shutil.which("named", path=SYSTEM_PATH)
    if named is None:
        pytest.skip("named is not installed")
    async with running(full()) as (_, (_, server), seen, _):
        port = free_port()
        config = configured(tmp_path, port, server)
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [named, "-g", "-n", "1", "-c", str(config)], stdout=log, stderr=log, cwd=tmp_path
            )
        try:
            assert len((await resolve(port, "www.example.net")).answer[0]) == 2
            assert len((await resolve(port, "alias.example.net")).answer) == 2
            assert len((await resolve(port, "many.example.net")).answer[0]) == 99
            assert (await resolve(port, "gone.example.net")).rcode() == dns.rcode.NXDOMAIN
            nodata = await resolve(port, "text.example.net", "AAAA")
            assert (nodata.rcode(), nodata.answer) == (dns.rcode.NOERROR, [])
            assert (await resolve(port, "www.example.org")).rcode() == dns.rcode.SERVFAIL
        finally:
            end(process)
        assert seen[Transport.TCP, Rcode.NOERROR] == 1
