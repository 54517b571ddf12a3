"""``make move``: gives the house of ``make cluster`` another WAN address, or shows who holds which address now."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tests.cluster.house import CONTROL
from tests.lab import control


def main() -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="make move ARGS=...", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".cluster"), help="folder of the cluster")
    parser.add_argument("addresses", nargs="*", type=ip_address, metavar="ADDRESS", help="an IPv4, an IPv6, or both")
    given = parser.parse_args()
    path = given.state / CONTROL
    try:
        if given.addresses:
            control.ask(path, "POST", "/control/wan", [str(address) for address in given.addresses])
        lines = list(_lines(control.state(path)))
        lines = lines[:1] if given.addresses else lines  # nobody had time to follow yet
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror}; is `make cluster` running, with its house?\n")
        return 1
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


def _lines(state: dict[str, Any]) -> Iterator[str]:
    yield f"WAN     {' '.join(state['wan'])}"
    for host, addresses in state["strato"]["published"].items():
        yield f"Strato  {host}  {' '.join(addresses) or 'nothing yet'}"
    for record in state["gandi"]["records"]:
        yield f"Gandi   {record['name']}.{record['domain']}  {record['type']} {' '.join(record['values'])}"


if __name__ == "__main__":
    sys.exit(main())
