"""The home page's one formula."""

import pytest
import torch


@pytest.mark.proves("gradient-of-the-squared-error")
@pytest.mark.parametrize("n", [1, 3, 50])
def test_gradient_of_the_squared_error(formula, n: int) -> None:
    """dL/dw = 2/n sum x_i (w x_i - y_i) is what autograd finds, for any data and any w."""
    generator = torch.Generator().manual_seed(n)
    x, y = torch.randn(2, n, dtype=torch.float64, generator=generator)
    w = torch.randn((), dtype=torch.float64, generator=generator, requires_grad=True)
    loss = torch.nn.functional.mse_loss(w * x, y)
    (slope,) = torch.autograd.grad(loss, w)

    formula("gradient-of-the-squared-error").holds(
        {"L(w)": loss, r"\frac{\mathrm{d}L}{\mathrm{d}w}": slope, "n": n, "w": w, "x": x, "y": y})


def test_the_page_finds_the_same_gradient_twice(page) -> None:
    ns = page("index")
    torch.testing.assert_close(ns["by_formula"], ns["w"].grad, rtol=1e-12, atol=1e-12)
