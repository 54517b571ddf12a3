"""Messages to people, and signs of life to a dead man's switch: what is told, when, and how it is delivered.

Never: what is known of names and addresses; whoever composes this gives it as a ``Situation``.
"""
