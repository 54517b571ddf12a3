"""The contract needs what the providers' tests need."""

from tests.providers.conftest import certificates, http, knot_server, named_server

__all__ = ["certificates", "http", "knot_server", "named_server"]
