"""The verbs themselves, one module for each kind of work."""
