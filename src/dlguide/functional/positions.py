"""Where a token stands: sines of many wavelengths that are added, and rotations of queries and keys."""

from __future__ import annotations

import torch
from torch import Tensor


# --8<-- [start:sinusoids]
def _sinusoids(places: Tensor, width: int, base: float) -> Tensor:
    pair = torch.arange(0, width, 2, dtype=places.dtype, device=places.device)
    angle = places[:, None] / base ** (pair / width)  # (places, width / 2)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)  # sin, cos, sin, cos
# --8<-- [end:sinusoids]


# --8<-- [start:rotate]
def _rotate(x: Tensor, places: Tensor, base: float) -> Tensor:
    pair = torch.arange(0, x.shape[-1], 2, dtype=x.dtype, device=x.device)
    angle = places[:, None].to(x.dtype) / base ** (pair / x.shape[-1])
    a, b = x[..., 0::2], x[..., 1::2]  # each pair is a point in a plane
    turned = a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()
    return torch.stack(turned, -1).flatten(-2)
# --8<-- [end:rotate]


def sinusoidal_encoding(
    length: int, dim: int, base: float = 10000.0, device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    r"""Give each place a vector of sines and cosines, to be added to the embeddings.

    $$P_{t,2i} = \sin\left(t / b^{2i/E}\right), \qquad P_{t,2i+1} = \cos\left(t / b^{2i/E}\right)$$

    Args:
        length: the number of places, counted from $t = 0$.
        dim: $E$, even: the numbers of each vector.
        base: $b > 0$; the longest wavelength is nearly $2 \pi b$ places.
        device: where the result is made; None: the default device.
        dtype: floating dtype of the result; None: the default dtype.

    Returns:
        Shape (length, dim), numbers from -1 to 1.

    Raises:
        ValueError: `dim` is odd, or a size is negative.

    Example:
        ```python
        from dlguide.functional.positions import sinusoidal_encoding

        print(sinusoidal_encoding(3, 4))
        ```

        ``` {.text .output}
        tensor([[ 0.0000,  1.0000,  0.0000,  1.0000],
                [ 0.8415,  0.5403,  0.0100,  0.9999],
                [ 0.9093, -0.4161,  0.0200,  0.9998]])
        ```

    References:
        - Vaswani et al.: Attention Is All You Need, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762), section 3.5.
    """
    if length < 0 or dim < 0 or dim % 2:
        raise ValueError(f"expected length >= 0 and an even dim, got {length} and {dim}: sines come in pairs")
    places = torch.arange(length, device=device, dtype=dtype or torch.get_default_dtype())
    return _sinusoids(places, dim, base)


def rotary_encoding(x: Tensor, base: float = 10000.0, offset: int = 0) -> Tensor:
    r"""Rotate queries or keys by angles that grow with their place.

    The pair $(x_{2i}, x_{2i+1})$ of the vector at place $t$ turns by $t / b^{2i/E}$. The product of a query at place
    $m$ and a key at place $n$ then depends on where they stand only through $m - n$.

    Args:
        x: shape (..., L, E), E even; floating point.
        base: $b > 0$.
        offset: the place of the first vector, when earlier ones are in a cache.

    Returns:
        Shape (..., L, E); the length of each vector is unchanged.

    Raises:
        ValueError: `x` has fewer than two dimensions, or its last size is odd.

    Example:
        ```python
        import torch
        from dlguide.functional.positions import rotary_encoding

        print(rotary_encoding(torch.tensor([[1.0, 0.0], [1.0, 0.0]])))
        ```

        ``` {.text .output}
        tensor([[1.0000, 0.0000],
                [0.5403, 0.8415]])
        ```

    References:
        - Su et al.: RoFormer, [arXiv:2104.09864](https://arxiv.org/abs/2104.09864), equation 34.
    """
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ValueError(f"expected x of shape (..., L, E) with an even E, got {list(x.shape)}: rotations need pairs")
    places = torch.arange(offset, offset + x.shape[-2], device=x.device)
    return _rotate(x, places, base)
