"""One file per question about a Cluster. Each `decide` is a pure function of the snapshot."""
