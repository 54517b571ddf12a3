"""Serving master files: ``homing dns``, and the zones of ``homing up`` that begin with one.

``files`` reads what changed on disk, ``versions`` decides which serial it is served under, ``serve`` is the process.
``joined`` puts names that follow addresses into a zone from a file. ``figures`` is what the server counts, ``local``
how it is asked for that on this machine, ``report`` how a terminal shows it.
"""
