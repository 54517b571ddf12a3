"""A cluster of thousands of nodes that never rests, and what is right to answer about it at any moment."""
