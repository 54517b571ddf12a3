"""Ask a DNS server over UDP and TCP: HOST PORT NAME TYPE. Without a name any response will do."""

import socket
import sys
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode

host, port, name, kind = sys.argv[1:]
end = time.monotonic() + 60
while True:
    try:
        address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0][4][0]
        query = dns.message.make_query(name or "version.bind", kind if name else "TXT", "IN" if name else "CH")
        for transport, ask in (("UDP", dns.query.udp), ("TCP", dns.query.tcp)):
            said = ask(query, address, port=int(port), timeout=2)
            print(transport, host, name or "(any response)", dns.rcode.to_text(said.rcode()), *said.answer)  # noqa: T201
            if name and not said.answer:
                raise LookupError(f"{name} {kind} has no answer over {transport}")
        break
    except (OSError, dns.exception.DNSException, LookupError) as error:
        if time.monotonic() > end:
            sys.exit(f"{host} port {port}: {error}")
        time.sleep(1)
