"""Where samples come from: one file an outside system, all behind one Protocol."""
