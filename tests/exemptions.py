"""Every test that may be skipped, with the reason. All other skips and expected failures are failures.

The plugin in tests/pages enforces it, tests/test_exemptions.py asserts how many there are. `make test-gpu` and a folder
`DLGUIDE_DATA` with the real data sets run what is listed here.
"""

from __future__ import annotations

from fnmatch import fnmatch

EXEMPT = (
    # the id of a test, with * as a wildcard; the reason
    ("tests/gpu/test_*.py::*", "needs a CUDA device: `make test-gpu` runs it on one"),
    ("tests/dlguide/test_*.py::test_real_*", "needs the real data sets in the folder DLGUIDE_DATA"),
)


def is_exempt(test: str) -> bool:
    """Whether a test may be skipped."""
    return any(fnmatch(test.replace("[", "("), pattern.replace("[", "(")) for pattern, _ in EXEMPT)
