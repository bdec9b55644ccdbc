"""The table of exemptions is short, gives reasons, and names tests that exist."""

from pathlib import Path

import pytest

from tests.exemptions import EXEMPT, is_exempt

ROOT = Path(__file__).parents[1]


def test_number_of_exemptions():
    assert len(EXEMPT) == 2, "a new exemption needs a reason and a review: then change this number"


@pytest.mark.parametrize(("pattern", "reason"), EXEMPT)
def test_exemption_names_a_test_and_a_reason(pattern, reason):
    files, _, test = pattern.partition("::")
    assert any(test.rstrip("*") in path.read_text("utf-8") for path in ROOT.glob(files))
    assert len(reason.split()) > 3


@pytest.mark.parametrize(("test", "exempt"), [
    ("tests/gpu/test_training.py::test_cnn[LSTM]", True),
    ("tests/dlguide/test_data.py::test_real_mnist_has_its_parts", True),
    ("tests/dlguide/test_data.py::test_digits", False),
    ("docs/en/faq.md::losses", False),
])
def test_lookup(test, exempt):
    assert is_exempt(test) is exempt
