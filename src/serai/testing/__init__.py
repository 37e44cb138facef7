"""A whole bloc in one process, for tests of serai and of what is built on it."""
