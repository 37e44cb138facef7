"""The Flower app that ``flower_rounds`` measures."""
