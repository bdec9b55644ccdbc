"""The line search of L-BFGS: how far to go along a direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Point(NamedTuple):
    """A point on the line x + t d: how far, the loss there, its gradient, and the slope along d."""

    t: float
    f: float
    g: Tensor
    slope: Tensor


# --8<-- [start:cubic-rule]
def _lowest(p: Point, q: Point, left: float, right: float) -> float:
    """The minimum of the cubic that has the values and slopes of both points, within left..right."""
    if p.t > q.t:
        p, q = q, p
    if p.t < q.t:
        a = p.slope + q.slope - 3 * (p.f - q.f) / (p.t - q.t)
        square = a * a - p.slope * q.slope
        if square >= 0:
            b = square.sqrt()
            t = q.t - (q.t - p.t) * ((q.slope + b - a) / (q.slope - p.slope + 2 * b))
            return min(max(t.item(), left), right)
    return (left + right) / 2  # the cubic has no minimum
# --8<-- [end:cubic-rule]


# --8<-- [start:wolfe-rule]
def strong_wolfe(
    at: Callable[[float], Point], start: Point, t: float, size: float, most: int,
    tolerance: float = 1e-9, c1: float = 1e-4, c2: float = 0.9,
) -> tuple[Point, int]:  # fmt: skip
    """Look for a point that is low enough and flat enough: the conditions of Wolfe, the second with absolute values.

    `at(t)` evaluates the loss, `start` is the point t = 0, `size` the largest number in the direction, `most` how many
    points may follow the first. Returns the best point and how many were evaluated.
    """

    def too_high(p: Point) -> bool:  # no fair share of the descent that the slope promised
        return p.f > start.f + c1 * p.t * start.slope.item()

    def flat(p: Point) -> bool:
        return bool(p.slope.abs() <= -c2 * start.slope)

    # First go on until a minimum must lie between two points.
    last, p, n = start, at(t), 0
    ends = [start, p]
    while n < most:
        if too_high(p) or (n > 1 and p.f >= last.f) or (p.slope >= 0 and not flat(p)):
            ends = [last, p]
            break
        if flat(p):
            return p, n + 1
        t = _lowest(last, p, left=p.t + 0.01 * (p.t - last.t), right=10 * p.t)
        last, p, n = p, at(t), n + 1
        ends = [start, p]

    # Then make that interval smaller from the side that is higher.
    low, near_end = lower(ends), False
    while n < most:
        left, right = sorted(end.t for end in ends)
        if (right - left) * size < tolerance:
            break
        t = _lowest(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        if not min(right - t, t - left) < margin:
            near_end = False
        elif near_end or t >= right or t <= left:  # twice at an end: step inside
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near_end = False
        else:
            near_end = True
        p, n = at(t), n + 1
        if too_high(p) or p.f >= ends[low].f:
            ends[1 - low] = p
            low = lower(ends)
        elif flat(p):
            return p, n + 1
        else:
            if p.slope * (ends[1 - low].t - ends[low].t) >= 0:
                ends[1 - low] = ends[low]
            ends[low] = p
    return ends[low], n + 1


def lower(ends: list[Point]) -> int:
    """Which of two points is lower, the first if they are equal."""
    return 0 if ends[0].f <= ends[1].f else 1
# --8<-- [end:wolfe-rule]


def point(t: float, f: float, g: Tensor, d: Tensor) -> Point:
    """A point with its slope along d."""
    return Point(t, f, g, g.dot(d))
