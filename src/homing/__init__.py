"""DNS names that follow the machines they stand for.

The way of the data, left to right, each room a package:

    detect -> sources -> records -> plan -> providers (-> dns, the built-in zone)

``model`` holds the frozen values that travel, ``effects`` what every room shares at the edge (clock, backoff,
HTTP client, metrics), ``store`` remembers, ``web`` shows, ``standins`` is an internet for tests and the demo,
and ``app`` composes them; it is the only room that reads settings.
"""

__version__ = "0.1.0.dev0"
