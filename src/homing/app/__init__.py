"""What composes the rooms: settings (the only place that reads them), the runtime, the command line."""
