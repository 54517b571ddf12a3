"""Asks a DNS server the same again and again until its standard input ends; prints what became of it as JSON.

Runs in the network of the node: ``python -m tests.node.asker SERVER NAME``. Ports are as the kernel gives them, so some
come again within the 30 s for which kube-proxy sends what comes from a UDP port to the pod that it sent it to before.
"""

from __future__ import annotations

import json
import select
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor

import dns.exception
import dns.message
import dns.query
import dns.rcode

INTERVAL = 0.02
"""Seconds between two queries, whether the one before has its answer or not."""

PATIENCE = 2.0
"""Seconds after which a query is lost. It is asked once."""


def main() -> int:
    """Ask; the exit status."""
    server, name = sys.argv[1:]
    with ThreadPoolExecutor(round(1.5 * PATIENCE / INTERVAL)) as pool:
        asked = list[Future[str]]()
        while not select.select([sys.stdin], [], [], INTERVAL)[0]:
            asked.append(pool.submit(_ask, server, name, tcp=len(asked) % 10 == 9))
        said = [each.result() for each in asked]
    sys.stdout.write(json.dumps({"asked": len(said), "lost": [each for each in said if each]}))
    return 0


def _ask(server: str, name: str, *, tcp: bool) -> str:
    """What went wrong, and when it was asked; empty when there was an answer."""
    start = time.strftime("%H:%M:%S")
    try:
        answer = (dns.query.tcp if tcp else dns.query.udp)(dns.message.make_query(name, "A"), server, timeout=PATIENCE)
    except (OSError, dns.exception.DNSException) as error:
        return f"{start} {'TCP' if tcp else 'UDP'} {error!r}"
    else:
        return "" if answer.answer else f"{start} {dns.rcode.to_text(answer.rcode())}"


if __name__ == "__main__":
    sys.exit(main())
