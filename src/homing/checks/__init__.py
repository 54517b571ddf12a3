"""Whether published addresses work: probes from here, and what they say about each address.

What belongs here: the checks themselves, when they run, and what a row of results means. What never does: zones, nodes,
the kinds of Kubernetes; who asks for a check makes ``Target`` values and is told of turns.

Pure, without I/O: ``check``, ``health``, ``judge``. What answers go by is ``model.health.answered``.
"""

from homing.checks.check import Check, Http, Icmp, Probe, Target, Tcp, parse_probe
from homing.checks.checker import Checker
from homing.checks.health import Damping
from homing.checks.metrics import CheckMetrics
from homing.checks.probe import NetworkProbe, Outcome, Result

__all__ = [
    "Check",
    "CheckMetrics",
    "Checker",
    "Damping",
    "Http",
    "Icmp",
    "NetworkProbe",
    "Outcome",
    "Probe",
    "Result",
    "Target",
    "Tcp",
    "parse_probe",
]
