"""From the three systems that Homing follows: what they were told, as Homing's manifests, and the steps of the change.

What belongs here: reading what users of the Strato controller, ESDDNS and the Go node DNS have, and saying it in
Homing's words. Everything but ``reading`` is pure; nothing is changed anywhere.
"""
