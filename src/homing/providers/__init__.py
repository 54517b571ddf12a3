"""Where RRsets are published: one file a provider, one contract for all (``base.Provider``).

No policy lives here: what may be published is decided in ``plan``, when to ask again in ``lockout`` and ``app``.
"""
