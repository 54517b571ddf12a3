"""The side of the server that secondaries see: journals, transfers, TSIG, NOTIFY.

It stands beside the answering of plain queries and costs it nothing: it gets only what that turns away.
"""
