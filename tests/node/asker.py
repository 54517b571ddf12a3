"""Asks a DNS server the same again and again, from a new socket each time, until its standard input ends; prints what
became of it as JSON. Runs in the network of the node: ``python -m tests.node.asker SERVER NAME``."""

from __future__ import annotations

import json
import select
import sys
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode

INTERVAL = 0.02
"""Seconds between two queries."""

PATIENCE = 2.0
"""Seconds after which a query is lost. It is asked once."""


def main() -> int:
    """Ask; the exit status."""
    server, name = sys.argv[1:]
    asked, lost, slowest = 0, list[str](), 0.0
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        over_tcp = asked % 10 == 9
        asked += 1
        query = dns.message.make_query(name, "A")
        start = time.monotonic()
        try:
            ask = dns.query.tcp if over_tcp else dns.query.udp
            answer = ask(query, server, timeout=PATIENCE)
            if answer.rcode() != dns.rcode.NOERROR or not answer.answer:
                lost.append(dns.rcode.to_text(answer.rcode()))
        except (OSError, dns.exception.DNSException) as error:
            lost.append(f"{'TCP' if over_tcp else 'UDP'} at query {asked}: {error!r}")
        slowest = max(slowest, time.monotonic() - start)
    sys.stdout.write(json.dumps({"asked": asked, "lost": lost, "slowest": slowest}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
