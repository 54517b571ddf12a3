"""``make cluster``: a control plane in the foreground, until Ctrl-C. Its folder keeps the objects for the next time."""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.api import ApiRefused
from tests.cluster.control_plane import ControlPlane
from tests.cluster.nodes import Kwok, create_nodes, node
from tests.cluster.prepare import prepare
from tests.cluster.programs import ProgramsMissing

KWOK = "cluster"


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="make cluster ARGS=...", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".cluster"), help="folder of its objects, keys and logs")
    parser.add_argument("--port", type=int, default=0, help="port of the API server; any that is free if not given")
    parser.add_argument("--nodes", type=int, default=0, help="nodes without machines, kept Ready: node-1, node-2, ...")
    given = parser.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with (given.state / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _run(given.state, given.port, given.nodes)
        except KeyboardInterrupt:
            _say("stopped; its objects are kept")
        except BlockingIOError:
            _say(f"another one runs in {given.state}")
            return 1
        except (ProgramsMissing, AssertionError) as error:
            _say(str(error))
            return 1
    return 0


def _run(state: Path, port: int, nodes: int) -> None:
    for old in state.glob("*.kubeconfig"):
        old.unlink()  # its token ended with the control plane it was for
    _say("starting ...")
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(state, port=port))
        prepare(plane)
        kwok = stack.enter_context(Kwok(plane, KWOK))
        for number in range(1, nodes + 1):
            address = f"203.0.113.{number}" if number < 255 else f"2001:db8::{number:x}"
            try:
                create_nodes(plane.admin, [node(f"node-{number}", external=[address], labels=kwok.labels)])
            except ApiRefused as refused:
                if refused.status != 409:  # there from the last time
                    raise
        kubeconfig = plane.kubeconfig().rename(plane.folder / "kubeconfig")
        _say(f"ready at {plane.server}; Ctrl-C ends it")
        sys.stdout.write(f"export KUBECONFIG={kubeconfig}\n")
        sys.stdout.flush()
        signal.pause()


def _say(text: str) -> None:
    sys.stderr.write(f"cluster: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
