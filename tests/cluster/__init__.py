"""A real Kubernetes control plane on loopback, and its faults.

Here belong the programs and how they are built and run, nodes without machines behind them, and what stands between a
client and the API server to break it. Nothing here but the house of ``make cluster`` knows what Homing does with one.
"""
