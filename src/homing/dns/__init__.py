"""The authoritative DNS server.

``message``, ``render``, ``lookup`` and ``respond`` are pure: octets and frozen zones in, octets out. ``authority``
holds the zones of the moment; ``transfers`` is what secondaries see of them. ``udp``, ``tcp`` and ``server`` own the
sockets, ``stats`` counts. Where the content of a zone comes from is not known here.
"""
