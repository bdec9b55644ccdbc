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


At = Callable[[float], Point]  # evaluates the loss at x + t d


# --8<-- [start:cubic-rule]
def _lowest(p: Point, q: Point, left: float, right: float) -> float:
    """The minimum, within left..right, of the cubic with the values and slopes of both."""
    if p.t > q.t:
        p, q = q, p
    if p.t < q.t:
        a = p.slope + q.slope - 3 * (p.f - q.f) / (p.t - q.t)
        square = a * a - p.slope * q.slope
        if square >= 0:
            b = square.sqrt()
            share = (q.slope + b - a) / (q.slope - p.slope + 2 * b)
            return min(max((q.t - (q.t - p.t) * share).item(), left), right)
    return (left + right) / 2  # the cubic has no minimum
# --8<-- [end:cubic-rule]


# --8<-- [start:wolfe-rule]
class Wolfe(NamedTuple):
    """The strong conditions of Wolfe: what a good point must be."""

    start: Point
    c1: float = 1e-4
    c2: float = 0.9

    def too_high(self, p: Point) -> bool:
        """No fair share of the descent that the slope promised."""
        return p.f > self.start.f + self.c1 * p.t * self.start.slope.item()

    def flat(self, p: Point) -> bool:
        """The slope is small beside the first one."""
        return bool(p.slope.abs() <= -self.c2 * self.start.slope)
# --8<-- [end:wolfe-rule]


# --8<-- [start:bracket-rule]
def _bracket(at: At, good: Wolfe, t: float, most: int) -> tuple[list[Point], int]:
    """Go on until a minimum must lie between two points; one point if it is good."""
    last, p = good.start, at(t)
    for n in range(most):
        if good.too_high(p) or (n > 1 and p.f >= last.f):
            return [last, p], n
        if good.flat(p):
            return [p], n
        if p.slope >= 0:  # already uphill
            return [last, p], n
        t = _lowest(last, p, left=p.t + 0.01 * (p.t - last.t), right=10 * p.t)
        last, p = p, at(t)
    return [good.start, p], most
# --8<-- [end:bracket-rule]


# --8<-- [start:zoom-rule]
def _zoom(
    at: At, good: Wolfe, ends: list[Point], n: int, most: int, least: float
) -> tuple[Point, int]:  # fmt: skip
    """Make the interval smaller, from the side that is higher, until a point is good."""
    low, near_end = _lower(ends), False
    while n < most:
        left, right = sorted(end.t for end in ends)
        if right - left < least:
            break
        t, margin = _lowest(ends[0], ends[1], left, right), 0.1 * (right - left)
        if not min(right - t, t - left) < margin:
            near_end = False
        elif near_end or t >= right or t <= left:  # twice near an end: step inside
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near_end = False
        else:
            near_end = True
        p, n = at(t), n + 1
        if good.too_high(p) or p.f >= ends[low].f:
            ends[1 - low] = p
            low = _lower(ends)
        elif good.flat(p):
            return p, n
        else:
            if p.slope * (ends[1 - low].t - ends[low].t) >= 0:
                ends[1 - low] = ends[low]  # the minimum is on the other side
            ends[low] = p
    return ends[low], n


def _lower(ends: list[Point]) -> int:
    return 0 if ends[0].f <= ends[1].f else 1  # the first if they are equal
# --8<-- [end:zoom-rule]


def strong_wolfe(
    at: At, start: Point, t: float, size: float, most: int, tolerance: float = 1e-9
) -> tuple[Point, int]:  # fmt: skip
    """Look for a point that is low enough and flat enough.

    `at(t)` evaluates the loss, `start` is the point t = 0, `size` the largest number in the direction, `most` how many
    points may follow the first. Returns the best point and how many were evaluated.
    """
    good = Wolfe(start)
    ends, n = _bracket(at, good, t, most)
    found, n = _zoom(at, good, ends, n, most, tolerance / size) if len(ends) == 2 else (ends[0], n)
    return found, n + 1


def point(t: float, f: float, g: Tensor, d: Tensor) -> Point:
    """A point with its slope along d."""
    return Point(t, f, g, g.dot(d))
