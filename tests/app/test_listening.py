"""All addresses of a machine, as they come and go, in a network namespace of its own."""
