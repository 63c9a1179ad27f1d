"""Where alerts go: one file an outside system, all behind one Protocol."""
