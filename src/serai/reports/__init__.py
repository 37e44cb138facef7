"""How a run went: its course out of the log, curves, and the pages that are left of it."""
