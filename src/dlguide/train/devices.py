"""A device by its name, or the best one that is there."""

from __future__ import annotations

import os

import torch


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Turn a name into a device that is there.

    Args:
        device: `"auto"` for the best one (CUDA, else MPS, else CPU), or `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`.

    Returns:
        The device.

    Raises:
        ValueError: no device has this name, or it is not there.

    Example:
        ```python
        from dlguide.train import choose_device

        print(choose_device("cpu"))
        ```

        ``` {.text .output}
        cpu
        ```
    """
    gpus, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if device == "auto":
        if gpus and "LOCAL_RANK" in os.environ:  # torchrun numbers the processes of a machine: one GPU for each
            return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % gpus)
        return torch.device("cuda" if gpus else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type == "cpu" or (chosen.type == "mps" and mps) or (chosen.type == "cuda" and (chosen.index or 0) < gpus):
        return chosen
    there = ["'auto'", "'cpu'", *(f"'cuda:{i}'" for i in range(gpus)), *(["'mps'"] if mps else [])]
    raise ValueError(f"expected a device that is here, {' or '.join(there)}, got {str(device)!r}")
