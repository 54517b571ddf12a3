"""The DNS server beside its peers: processor time for each answer, memory, changes under load, and the long soak.

What is fast here is C: the load generators and the floor are compiled by the benchmark. Python starts and judges.
"""
