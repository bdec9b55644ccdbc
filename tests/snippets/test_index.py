"""The home page's one formula."""

import pytest
import torch


@pytest.mark.proves("gradient-of-the-squared-error", tex=r"L(w) = \frac{1}{n} \sum_{i=1}^{n} (w x_i - y_i)^2 \quad\Longrightarrow\quad \frac{\mathrm{d}L}{\mathrm{d}w} = \frac{2}{n} \sum_{i=1}^{n} x_i \, (w x_i - y_i)")
@pytest.mark.parametrize("n", [1, 3, 50])
def test_gradient_of_the_squared_error(n: int) -> None:
    """dL/dw = 2/n sum x_i (w x_i - y_i) is what autograd finds, for any data and any w."""
    generator = torch.Generator().manual_seed(n)
    x, y = torch.randn(2, n, dtype=torch.float64, generator=generator)
    w = torch.randn((), dtype=torch.float64, generator=generator, requires_grad=True)
    (expected,) = torch.autograd.grad(((w * x - y) ** 2).mean(), w)

    formula = 2 / n * (x * (w.detach() * x - y)).sum()

    torch.testing.assert_close(formula, expected, rtol=1e-12, atol=1e-12)


def test_the_page_finds_the_same_gradient_twice(page) -> None:
    ns = page("index")
    torch.testing.assert_close(ns["by_formula"], ns["w"].grad, rtol=1e-12, atol=1e-12)
