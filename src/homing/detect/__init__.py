"""Learns the address under which the internet sees this machine.

Many observers are asked at once (STUN, HTTP services, DNS whoami, the machine's own interfaces), each runs for an
operator, and operators vote. What belongs here: asking, and making a verdict of the answers. What never does: DNS
records, providers, settings files.

Pure, without I/O: ``consensus``, ``stun_message``, ``whoami_message``, ``netlink``, ``observers``. Importing this
package loads no HTTP library.
"""

from homing.detect.ask import Ask, NetworkAsk
from homing.detect.builtin import default_observers
from homing.detect.consensus import decide, lone_address
from homing.detect.detector import Detector, DetectorSettings
from homing.detect.interface import InterfaceAddress, interface_addresses, stable
from homing.detect.observers import HttpService, Interfaces, Observer, StunServer, WhoamiServer, operator_of
from homing.detect.round import RoundSettings, run_round, run_rounds
from homing.detect.server_lists import ListSource, ServerLists
from homing.detect.stun import Transport
from homing.detect.watch import watch_addresses

__all__ = [
    "Ask",
    "Detector",
    "DetectorSettings",
    "HttpService",
    "InterfaceAddress",
    "Interfaces",
    "ListSource",
    "NetworkAsk",
    "Observer",
    "RoundSettings",
    "ServerLists",
    "StunServer",
    "Transport",
    "WhoamiServer",
    "decide",
    "default_observers",
    "interface_addresses",
    "lone_address",
    "operator_of",
    "run_round",
    "run_rounds",
    "stable",
    "watch_addresses",
]
