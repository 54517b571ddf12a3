"""A stand-in internet: what tells an address and what publishes one, for `homing demo` and for the tests.

Everything here is a small, bounded server that speaks the wire of the real one, faults included: STUN, HTTP check
services, DNS whoami, Strato's DynDNS and Gandi's LiveDNS. Nothing here is used to observe or to publish for real, and
nothing here knows how Homing asks.
"""

from homing.standins.checkip import CheckIpServer
from homing.standins.faults import Fault, FaultScript
from homing.standins.gandi import GandiServer
from homing.standins.internet import StandInInternet
from homing.standins.listen import Endpoint, Listen
from homing.standins.strato import StratoServer
from homing.standins.stun import StunServer
from homing.standins.whoami import WhoamiServer

__all__ = [
    "CheckIpServer",
    "Endpoint",
    "Fault",
    "FaultScript",
    "GandiServer",
    "Listen",
    "StandInInternet",
    "StratoServer",
    "StunServer",
    "WhoamiServer",
]
