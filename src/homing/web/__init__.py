"""What a person or a monitor sees over HTTP: page, ``/raw``, health, metrics. Shows views, decides nothing."""
