"""``make cluster``: a control plane with a house for Homing beside it, in the foreground, until Ctrl-C.

With ``--bare`` there is no house, and the folder keeps the objects for the next time.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.api import ApiRefused
from tests.cluster.control_plane import ControlPlane
from tests.cluster.house import House
from tests.cluster.nodes import Kwok, create_nodes, node
from tests.cluster.prepare import prepare
from tests.cluster.programs import ProgramsMissing, directory

KWOK = "cluster"


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="make cluster ARGS=...", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".cluster"), help="folder of its objects, keys and logs")
    parser.add_argument("--port", type=int, default=0, help="port of the API server; any that is free if not given")
    parser.add_argument("--nodes", type=int, default=0, help="nodes without machines, kept Ready: node-1, node-2, ...")
    parser.add_argument("--bare", action="store_true", help="the control plane alone")
    parser.add_argument("--examples", type=Path, default=Path("examples"), help="manifests that the house is to fit")
    given = parser.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with (given.state / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _run(given)
        except KeyboardInterrupt:
            _say("stopped; its objects are kept" if given.bare else "stopped")
        except BlockingIOError:
            _say(f"another one runs in {given.state}")
            return 1
        except (ProgramsMissing, AssertionError) as error:
            _say(str(error))
            return 1
    return 0


def _run(given: argparse.Namespace) -> None:
    for old in given.state.glob("*.kubeconfig"):
        old.unlink()  # its token ended with the control plane it was for
    if not given.bare:
        shutil.rmtree(given.state / "etcd", ignore_errors=True)  # the house's stand-ins remember nothing either
    _say("starting ...")
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(given.state, port=given.port))
        prepare(plane)
        kwok = stack.enter_context(Kwok(plane, KWOK))
        for number in range(1, given.nodes + 1):
            address = f"203.0.113.{number}" if number < 255 else f"2001:db8::{number:x}"
            try:
                create_nodes(plane.admin, [node(f"node-{number}", external=[address], labels=kwok.labels)])
            except ApiRefused as refused:
                if refused.status != 409:  # there from the last time
                    raise
        kubeconfig = plane.kubeconfig().rename(plane.folder / "kubeconfig")
        export = f"export KUBECONFIG={kubeconfig}"
        if shutil.which("kubectl") is None:
            export += f' PATH="{directory()}:$PATH"'
        if given.bare:
            _say(f"ready at {plane.server}; Ctrl-C ends it")
            sys.stdout.write(f"{export}\n")
            sys.stdout.flush()
            signal.pause()
        house = stack.enter_context(House(plane, kubeconfig, given.examples))
        _say("ready; Ctrl-C ends it all")
        sys.stdout.write(_guide(plane, house, export, given.examples))
        sys.stdout.flush()
        while True:
            time.sleep(1.0)
            house.check()


def _guide(plane: ControlPlane, house: House, export: str, examples: Path) -> str:
    server = house.accounts.knot
    look = f"  dig @{server.ipv4} -p {server.port} home.{server.zone} +short\n" if server is not None else ""
    look += f"  dig @127.0.0.1 -p {house.dns_port} home.example.com +short\n"
    knot = f"  Knot         {server.ipv4}:{server.port}, zone {server.zone}\n" if server is not None else ""
    return f"""
  Kubernetes   {plane.server}
  operator     http://127.0.0.1:{house.operator_port}/metrics
  DNS          127.0.0.1:{house.dns_port}, for the Zones
{knot}  stand-ins    of Strato, Gandi, STUN and check services; the WAN addresses are {" and ".join(house.wan)}
  logs         {plane.folder}/*.log

In another terminal:

  {export}
  kubectl apply -f {examples}/
  kubectl get homing -A                # the Domains of both kinds
  kubectl get sites,hprov,events -A
{look}  make move ARGS=203.0.113.20          # another WAN address; IPv6 too: ARGS="203.0.113.20 2001:db8::20"
  make move                            # which addresses Strato and Gandi have now

"""


def _say(text: str) -> None:
    sys.stderr.write(f"cluster: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
