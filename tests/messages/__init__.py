"""Messages to people: what is told, when, and what receivers can do to Homing."""
