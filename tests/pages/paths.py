"""The root of the repository, for modules that must import nothing."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
