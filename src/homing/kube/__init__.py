"""The API of Kubernetes as we see it: client, watch, Lease, and the types of our kinds.

Never: what Homing does with them.
"""
