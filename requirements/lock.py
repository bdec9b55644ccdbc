"""Write the two lock files from pyproject.toml (`make lock`).

torch.txt holds PyTorch and what only its accelerated Linux wheels need, so that somebody who wants the
smaller CPU wheels can replace that one file; rest.txt holds everything else. Both hold versions and
hashes for every platform and no addresses. What is locked stays as it is where it still fits; `lock.py --upgrade`
takes the newest versions.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TORCH, TORCHVISION = "2.15.0", "0.29.2"  # a pair that fits together; 2.13.0 fits no torchvision
GROUPS = ["site", "test", "lint", "node", "lock"]
ONLY_TORCH = re.compile(r"torch==|torchvision==|triton|nvidia-|cuda-")
HEADER = "# Written by `make lock`; versions and hashes only. Install with pip's --require-hashes.\n"


def split(lock: str) -> tuple[str, str]:
    """Part a pip lock into PyTorch's own entries and the others."""
    entries = re.split(r"\n(?=\S)", lock.strip())
    torch = [entry for entry in entries if ONLY_TORCH.match(entry)]
    rest = [entry for entry in entries if not ONLY_TORCH.match(entry)]
    return "\n".join(torch) + "\n", "\n".join(rest) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out, pins = Path(folder, "lock.txt"), Path(folder, "pins.txt")
        pins.write_text(f"torch=={TORCH}\ntorchvision=={TORCHVISION}\n")
        out.write_text("".join((HERE / name).read_text("utf-8") for name in ("torch.txt", "rest.txt")), "utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11.5",
                   "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links",
                   "--index-strategy", "unsafe-best-match", "--constraint", str(pins), "--output-file", str(out),
                   str(HERE.parent / "pyproject.toml")]
        command += ["--all-extras", *sys.argv[1:]]
        for group in GROUPS:
            command += ["--group", group]
        subprocess.run(command, check=True, cwd=HERE.parent, stdout=subprocess.DEVNULL)
        torch, rest = split(out.read_text("utf-8"))
    (HERE / "torch.txt").write_text(HEADER + torch, "utf-8")
    (HERE / "rest.txt").write_text(HEADER + rest, "utf-8")


if __name__ == "__main__":
    main()
