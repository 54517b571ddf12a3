"""The turn of a name: observe, want, plan, guard, apply, record. Shared by the daemon and the operator.

Here is what a turn needs to know of a name, remember of it and be held back by. Never: settings, clusters, commands.
"""
