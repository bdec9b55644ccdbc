"""A Matplotlib backend that keeps what `plt.show()` shows, as SVG in the style of the site.

Used as `module://tests.pages.drawing`, in the processes that run pages and scripts.
"""

from __future__ import annotations

import io
import runpy
from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_svg import FigureCanvasSVG

from tests.pages.compare import rounded
from tests.pages.paths import ROOT

SITE: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "_site" / "hooks" / "figures.py"))
SHOWN: list[str] = []  # what was shown since the list was last emptied


class FigureManager(FigureManagerBase):
    """Show = record and close."""

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        for manager in Gcf.get_all_fig_managers():
            SHOWN.append(as_svg(manager.canvas.figure))
        Gcf.destroy_all()


class FigureCanvas(FigureCanvasSVG):
    """The canvas of SVG files, with the manager above."""

    manager_class = FigureManager


def as_svg(figure: Any) -> str:
    """The figure as the site stores it."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return rounded(SITE["themed"](file.getvalue()))


def use() -> None:
    """Draw in the style of the site from now on."""
    import matplotlib as mpl

    mpl.use("module://tests.pages.drawing")
    mpl.rcParams.update(SITE["style"]())
