"""The pages are tests, too: tests/pages/plugin.py collects their blocks."""

import os

# One thread for each process: PyTorch's threads wait for each other by spinning, and where several processes share two
# cores that was measured to take twelve times as long. Set before PyTorch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.pages.plugin"]
