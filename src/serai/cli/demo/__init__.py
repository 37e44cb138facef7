"""The demo: four hospitals found a center, agree, train, crash, release, and are audited, in one command."""
