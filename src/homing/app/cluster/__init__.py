"""The operator and the agent as processes: settings, probes, metrics, the parts put together.

Never: what they do; that is ``homing.operator``.
"""
