"""Networks that compress an example to a few numbers and build it up again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlguide.models._check import check_sizes
from dlguide.models.mlp import MLP


class Autoencoder(nn.Module):
    r"""An encoder to `latent` numbers and a decoder back, trained to give back what went in.

    $$z = \operatorname{encoder}(x), \qquad \hat x = \operatorname{decoder}(z)$$

    Both are an `MLP`; the decoder's layers are the encoder's in reverse. Train it with `F.mse_loss(model(x), x)`, on a
    data set whose targets are its inputs. With linear layers alone (`hidden=()`) the best it can do is what PCA does.

    Args:
        in_shape: shape of one example.
        hidden: widths of the encoder's hidden layers.
        latent: numbers in $z$.

    Raises:
        ValueError: a forward pass with examples of another shape.

    Example:
        ```python
        import torch
        from dlguide.models import Autoencoder

        model = Autoencoder((1, 8, 8), latent=2)
        x = torch.zeros(5, 1, 8, 8)
        print(model.encode(x).shape, model(x).shape)
        ```

        ``` {.text .output}
        torch.Size([5, 2]) torch.Size([5, 1, 8, 8])
        ```

    References:
        - Hinton and Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks
    """

    def __init__(self, in_shape: Sequence[int] = (1, 8, 8), hidden: Sequence[int] = (64,), latent: int = 8) -> None:
        super().__init__()
        check_sizes(latent=latent)
        self.in_shape = tuple(in_shape)
        pixels = math.prod(in_shape)
        self.encoder = MLP(pixels, hidden, latent)
        self.decoder = MLP(latent, hidden[::-1], pixels)

    def encode(self, x: Tensor) -> Tensor:
        """Compress.

        Args:
            x: `[N, *in_shape]`, float.

        Returns:
            `[N, latent]`.
        """
        return self.encoder(_expect(x, self.in_shape))

    def decode(self, z: Tensor) -> Tensor:
        """Build up.

        Args:
            z: `[N, latent]`, float.

        Returns:
            `[N, *in_shape]`.
        """
        return self.decoder(z).view(-1, *self.in_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Compress and build up.

        Args:
            x: `[N, *in_shape]`, float.

        Returns:
            `[N, *in_shape]`.
        """
        return self.decode(self.encode(x))


class VAE(nn.Module):
    r"""An autoencoder with a distribution in the middle, from which new examples can be drawn.

    $$q(z \mid x) = \mathcal N(\mu, \operatorname{diag}(\sigma^2)), \qquad z = \mu + \sigma \odot \epsilon, \qquad
    \epsilon \sim \mathcal N(0, I)$$

    The encoder gives $\mu$ and $\log \sigma^2$. Drawing $\epsilon$, which no parameter touches, instead of $z$ lets the
    gradient through to $\mu$ and $\sigma$ (reparametrization). In evaluation mode $z = \mu$. Train it with
    `negative_elbo(model(x), x)`.

    Args:
        in_shape: shape of one example.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        latent: numbers in $z$.

    Raises:
        ValueError: a forward pass with examples of another shape.

    Example:
        ```python
        import torch
        from dlguide.models import VAE

        model = VAE((1, 8, 8), latent=2)
        reconstruction, mean, log_variance = model(torch.rand(5, 1, 8, 8))
        print(reconstruction.shape, mean.shape, log_variance.shape)
        print(model.sample(3).shape)
        ```

        ``` {.text .output}
        torch.Size([5, 1, 8, 8]) torch.Size([5, 2]) torch.Size([5, 2])
        torch.Size([3, 1, 8, 8])
        ```

    References:
        - Kingma and Welling 2013, arXiv:1312.6114, sections 2.4 and 3, appendix B
    """

    def __init__(self, in_shape: Sequence[int] = (1, 8, 8), hidden: Sequence[int] = (64,), latent: int = 8) -> None:
        super().__init__()
        check_sizes(latent=latent)
        self.in_shape, self.latent = tuple(in_shape), latent
        pixels = math.prod(in_shape)
        self.encoder = MLP(pixels, hidden, 2 * latent)
        self.decoder = MLP(latent, hidden[::-1], pixels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Encode, draw z, decode.

        Args:
            x: `[N, *in_shape]`, float.

        Returns:
            The logits of the pixels `[N, *in_shape]`, $\mu$ and $\log \sigma^2$ `[N, latent]`.
        """
        mean, log_variance = self.encoder(_expect(x, self.in_shape)).chunk(2, dim=1)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean) if self.training else mean
        return self.decoder(z).view(-1, *self.in_shape), mean, log_variance

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw z from the standard normal distribution and decode it.

        Args:
            n: number of examples.
            generator: draws z, on the CPU; torch's own if not given.

        Returns:
            `[n, *in_shape]`, in (0, 1).
        """
        parameter = next(self.parameters())
        z = torch.randn(n, self.latent, generator=generator).to(parameter)
        return self.decoder(z).view(-1, *self.in_shape).sigmoid()


def negative_elbo(output: tuple[Tensor, Tensor, Tensor], x: Tensor, beta: float = 1.0) -> Tensor:
    r"""The loss of a VAE, averaged over the batch: how badly it rebuilds, plus how far $q$ is from a standard normal.

    $$L = -\sum_i \big( x_i \log p_i + (1 - x_i) \log (1 - p_i) \big)
    + \beta \cdot \frac{1}{2} \sum_j \big( \mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1 \big)$$

    Here $p = \operatorname{sigmoid}(\operatorname{logits})$ are the rebuilt pixels and $x$ the real ones. The second
    sum is $\operatorname{KL}(q(z \mid x) \,\|\, \mathcal N(0, I))$. With $\beta = 1$, $-L$ is a lower bound of the
    logarithm of the likelihood of $x$ (evidence lower bound).

    Args:
        output: what `VAE` returns: logits `[N, *in_shape]`, mean and log variance `[N, latent]`.
        x: `[N, *in_shape]`, float, in [0, 1].
        beta: weight of the second part.

    Returns:
        The loss, one number.

    Raises:
        ValueError: pixels and logits of different shapes.

    Example:
        ```python
        import torch
        from dlguide.models import negative_elbo

        nothing = (torch.zeros(2, 4), torch.zeros(2, 1), torch.zeros(2, 1))  # p = 1/2, q = N(0, 1)
        print(f"{negative_elbo(nothing, torch.ones(2, 4)):.3f}")  # four times log 2
        ```

        ``` {.text .output}
        2.773
        ```

    References:
        - Kingma and Welling 2013, arXiv:1312.6114, equation 10 and appendix B
        - Higgins et al. 2017, beta-VAE, equation 4
    """
    logits, mean, log_variance = output
    if logits.shape != x.shape:
        raise ValueError(f"expected pixels of shape {list(logits.shape)}, as the model returned, got {list(x.shape)}")
    rebuild = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum()
    return (rebuild + beta * kl) / len(x)


def _expect(x: Tensor, in_shape: tuple[int, ...]) -> Tensor:
    """Return x if its examples have the shape in_shape."""
    if tuple(x.shape[1:]) != in_shape:
        raise ValueError(
            f"expected examples of shape [N, {', '.join(map(str, in_shape))}], got {list(x.shape)}: reshape them, or"
            f" build the model with in_shape={tuple(x.shape[1:])}"
        )
    return x
