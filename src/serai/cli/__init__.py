"""The command line: one verb for each thing a member does, and a page that tells how a run went."""
