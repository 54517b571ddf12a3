"""What is in deploy/, held against a real API server: chart, overlays, Argo CD's Applications, scripts."""
