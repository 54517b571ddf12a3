"""The authoritative DNS server.

``message``, ``render``, ``lookup`` and ``respond`` are pure: octets and frozen zones in, octets out. ``authority``
holds the zones of the moment. ``udp``, ``tcp`` and ``server`` own the sockets. Where the content of a zone comes from
is not known here, and nothing here asks other servers.
"""
