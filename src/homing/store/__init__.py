"""What Homing remembers, in one SQLite file (WAL): last good addresses, history, what is published, lockouts, zones.

Everything is on disk before it counts (law 8). Plain synchronous calls; ``app`` keeps them off the event loop.
Secrets never come here.
"""

from homing.store.history import Kind, Marks, Place, Question, Row
from homing.store.lock import StateLock, holder
from homing.store.rows import AddressChange, Event, GoodAddress, Update
from homing.store.store import Store
from homing.store.zones import StoredZone

__all__ = [
    "AddressChange",
    "Event",
    "GoodAddress",
    "Kind",
    "Marks",
    "Place",
    "Question",
    "Row",
    "StateLock",
    "Store",
    "StoredZone",
    "Update",
    "holder",
]
