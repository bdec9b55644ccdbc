"""The checker that the page hands to its readers finds what it says it finds."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def proofs(page):
    return page("about/proofs")


def test_only_program_and_output_blocks_are_collected(proofs):
    reader = proofs["Blocks"]()
    reader.feed('<p><code>x</code></p><div class="language-console highlight"><code>$ ls</code></div>' + proofs["page"])
    assert [kind for kind, _ in reader.found] == ["program", "program", "output"]


def test_a_wrong_digit_is_found(proofs):
    assert proofs["check"](proofs["reader"].found) == [True]
    assert proofs["check"](proofs["forged"].found) == [False]


def test_the_derivative_of_the_sigmoid():
    z = torch.linspace(-8, 8, 1000, dtype=torch.float64, requires_grad=True)
    (truth,) = torch.autograd.grad(z.sigmoid().sum(), z)
    y = z.detach().sigmoid()
    torch.testing.assert_close(y * (1 - y), truth)
