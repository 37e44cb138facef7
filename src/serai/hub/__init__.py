"""Released models: what gates a release, its manifest, and its lineage back to the votes."""
