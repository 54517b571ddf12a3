"""What runs in a cluster: Domains, Providers, Sites with their agents, Zones, the Strato adapter.

Never: settings, commands, anything that a machine without a cluster needs.
"""
