"""``homing doctor --kubernetes``: the cluster's side. Reads, and asks what accounts may do; writes nothing."""
