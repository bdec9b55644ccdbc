"""Text is compared exactly, numbers at the precision shown, figures up to a tenth of a point."""

import pytest

from tests.pages.compare import diff, different_figure, rounded, same_text


@pytest.mark.parametrize(("printed", "shown", "same"), [
    ("loss 0.2500", "loss 0.2500", True),
    ("loss 0.2500  \n\n", "loss 0.2500", True),
    ("loss 0.2501", "loss 0.2500", False),  # a wrong last digit
    ("0.12345", "0.12346", False),
    ("0.10000001", "0.1", True),  # equal at the precision shown
    ("0.16", "0.1", False),
    ("-0.0000", "0.0000", True),
    ("1.23e-05", "1.23e-05", True),
    ("1.24e-05", "1.23e-05", False),
    ("1.2345e-05", "1.23e-05", True),
    ("10", "11", False),
    ("10.2", "10", False),  # a whole number is exact
    ("tensor([1., 2.])", "tensor([1., 2.])", True),
    ("tensor([1., 2.])", "tensor([1., 3.])", False),
    ("tensor([1., 2.])", "tensor([1.,  2.])", False),  # text is exact
    ("torch 2.15.0", "torch 2.15.1", False),
    ("x1", "x2", False),
    ("nan inf", "nan inf", True),
    ("a\nb", "a\n\nb", False),
    ("loss", "Loss", False),
])
def test_text(printed, shown, same):
    assert same_text(printed, shown) is same


def test_difference_shows_both_sides():
    text = diff("loss 0.25\nend", "loss 0.26\nend")
    assert "-loss 0.26" in text
    assert "+loss 0.25" in text


SVG = ('<svg width="7pt"><path id="m1a2" d="M 1.04 2 L 3 4" style="stroke: #4f78e8"/><use href="#m1a2"/>'
       '<text x="3">0.5</text></svg>')


@pytest.mark.parametrize(("old", "new", "said"), [
    ("1.04", "1.09", None),
    ("1.04", "1.24", "coordinates"),
    ("m1a2", "m9f8", None),  # ids are digests
    ("0.5<", "0.6<", "words"),
    ("#4f78e8", "#4f78e9", "other elements"),
    (" L 3 4", "", "other elements"),
    ("<text", "<path/><text", "other elements"),
])
def test_figures(old, new, said):
    answer = different_figure(SVG.replace(old, new), SVG)
    assert (answer is None) if said is None else (answer is not None and said in answer)


def test_coordinates_are_rounded_and_words_are_not():
    assert rounded('<path d="M 1.23456 -0.10000"/><text>0.123</text>') == '<path d="M 1.23 -0.1"/><text>0.123</text>'
