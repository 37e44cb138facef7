"""Readers of a member's data: each gives batches of columns, and one place turns their cells into numbers."""
