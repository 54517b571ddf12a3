"""``homing doctor``: what usually goes wrong, looked at, with the remedy. One module a topic.

A topic asks (sockets, files) in its own functions and judges in pure ones. What cannot be known is ``skipped``: no
claim is made of it. Nothing is ever written to a provider, a zone or a cluster.
"""
