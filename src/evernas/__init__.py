"""evernas: continuous, hardware-aware neural architecture search that promotes only what is shown to be better."""

__version__ = "0.1.0"
