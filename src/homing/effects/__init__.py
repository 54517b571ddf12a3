"""What every room shares at the edge: clock, chance, backoff, HTTP client, secrets, log, metrics.

One of each in the house. What can be faked in tests comes with its fake here. Nothing here knows what a name is.
"""
