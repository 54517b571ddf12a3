"""Metrics, alerts and the dashboard, held against each other and against real processes."""
