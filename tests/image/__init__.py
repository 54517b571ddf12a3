"""Homing's image: how ``make image`` builds it without a registry, and what must hold when it runs.

The base is made of Debian's packages and has no shell, so whatever needs one shows. The node of ``tests/node`` runs the
same image.
"""
