"""Asks a DNS server again and again, and prints a line whenever its answer changes.

    python watch.py SERVER PORT NAME MILLISECONDS

Each line is JSON: ``at`` (Unix time of the answer) and ``addresses`` of both families. Ends with its standard input.
It imports nothing heavy and compares bytes, so that watching costs little of what is measured.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import sys
import time

_A, _AAAA = 1, 28
_SIZES = {4: socket.AF_INET, 16: socket.AF_INET6}


def query(name: str, rtype: int) -> bytes:
    """A question without EDNS (RFC 1035, section 4)."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.rstrip(".").split("."))
    return struct.pack("!6H", rtype, 0, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, rtype, 1)


def addresses(answer: bytes, question: int) -> list[str]:
    """The addresses in an answer to a question of so many bytes; owner names are taken to be compressed."""
    (count,) = struct.unpack_from("!H", answer, 6)
    found: list[str] = []
    offset = question
    for _ in range(count):
        while answer[offset] and answer[offset] < 0xC0:
            offset += 1 + answer[offset]
        offset += 2 if answer[offset] >= 0xC0 else 1
        _, _, _, length = struct.unpack_from("!HHIH", answer, offset)
        offset += 10
        if length in _SIZES:
            found.append(socket.inet_ntop(_SIZES[length], answer[offset : offset + length]))
        offset += length
    return sorted(found)


def ask(sock: socket.socket, question: bytes) -> bytes | None:
    """The answer, or None when there is none."""
    with contextlib.suppress(OSError):
        sock.send(question)
        while True:
            answer = sock.recv(4096)
            if answer[:2] == question[:2]:
                return answer
    return None


def main(server: str, port: int, name: str, pause: float) -> None:
    """Watch until standard input ends."""
    questions = [query(name, _A), query(name, _AAAA)]
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.25)
        sock.connect((server, port))
        last: list[bytes | None] = [None, None]
        while not select.select([sys.stdin], [], [], pause)[0]:
            now = [ask(sock, question) for question in questions]
            at = time.time()
            if now != last and None not in now:
                last = now
                found = [
                    text
                    for data, sent in zip(now, questions, strict=True)
                    for text in addresses(data or b"", len(sent))
                ]
                print(json.dumps({"at": at, "addresses": sorted(found)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]) / 1000)
