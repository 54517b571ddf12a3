"""What is deployed: chart, Kustomize overlays, Argo CD's Applications and the scripts, held against a real API server."""
