"""Answering over UDP, fast: packets in batches, answers found instead of computed, a process for each core.

``answers`` is the fast path and knows no socket, ``learned`` and ``names`` are what it remembers; ``batch`` reads and
writes sockets; ``worker`` is a process that joins the two; ``frames`` is what travels between it and the main process,
where ``pool`` keeps a ``process`` for each. A worker imports only the standard library.
"""
