"""Evaluations that members report as integer counts, and exact metrics over them."""
