"""Pure: the difference between what is published and what is wanted, and the guard that may hold it back.

No I/O and no clock: what is published, what is wanted and what time it is are arguments.
"""

from homing.plan.diff import Action, Change, NameChange, Plan, Published, diff
from homing.plan.guard import GuardPolicy, guard

__all__ = ["Action", "Change", "GuardPolicy", "NameChange", "Plan", "Published", "diff", "guard"]
