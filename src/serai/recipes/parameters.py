"""The name that recipes knew ``serai.training.parameters`` by."""

from serai.training.parameters import Parameters

__all__ = ["Parameters"]
