"""The package of the guide: small from-scratch pieces, each proven equal to PyTorch."""

__version__ = "0.1.0"
