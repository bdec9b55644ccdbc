"""Places for the nodes of a layered drawing: rows from the result down to the leaves, few crossings, straight lines.

The method of Sugiyama, Tagawa and Toda (1981): a row for each node, a chain of dummies for an edge that skips rows,
sweeps that order each row by the mean place of its neighbours, then places that pull neighbours above one another.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import accumulate, pairwise

Point = tuple[float, float]
DUMMIES = 4000  # edges that would need more are drawn straight across the rows
SWEEPS = 8
GAP, ROW_GAP = 22.0, 40.0  # between neighbours in a row, and between rows


def place(
    boxes: Sequence[tuple[float, float]], pairs: Sequence[tuple[int, int]], light: Container[int] = ()
) -> tuple[list[Point], Mapping[tuple[int, int], list[Point]]]:
    """Place boxes (width, height) so that every pair (from, to) points down, `light` ones giving way to the others.

    Returns the centres, and for each pair the points that its line passes between them.
    """
    count = len(boxes)
    ranks = _ranks(count, pairs)
    sizes, rows_of, links = [width for width, _ in boxes], list(ranks), []
    chains: dict[tuple[int, int], list[int]] = {}
    for pair in sorted(set(pairs), key=lambda pair: (ranks[pair[1]] - ranks[pair[0]], pair)):
        start, end = pair
        skipped = range(ranks[start] + 1, ranks[end])
        if len(sizes) + len(skipped) - count > DUMMIES:
            chains[pair] = []
            continue
        chains[pair] = list(range(len(sizes), len(sizes) + len(skipped)))
        sizes += [6.0] * len(skipped)
        rows_of += skipped
        links += list(pairwise([start, *chains[pair], end]))

    above: list[list[int]] = [[] for _ in sizes]
    below: list[list[int]] = [[] for _ in sizes]
    for start, end in links:
        below[start].append(end)
        above[end].append(start)
    rows: list[list[int]] = [[] for _ in range(max(rows_of, default=-1) + 1)]
    for item, row in enumerate(rows_of):
        rows[row].append(item)
    _order(rows, above, below)
    x = _spread(rows, sizes, [0.1 if item in light else 1.0 for item in range(len(sizes))], above, below)
    left = min((x[i] - sizes[i] / 2 for i in range(len(sizes))), default=0.0)
    heights = [max((boxes[item][1] for item in row if item < count), default=0.0) + ROW_GAP for row in rows]
    tops = list(accumulate(heights, initial=0.0))
    centres = [(x[i] - left, tops[rows_of[i]] + heights[rows_of[i]] / 2) for i in range(count)]

    def through(item: int) -> list[Point]:  # straight down beside the boxes of the row
        half = (heights[rows_of[item]] - ROW_GAP) / 2
        middle = tops[rows_of[item]] + heights[rows_of[item]] / 2
        return [(x[item] - left, middle - half), (x[item] - left, middle + half)]

    return centres, {pair: [point for item in chain for point in through(item)] for pair, chain in chains.items()}


def _ranks(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Row of each node: the length of the longest way to it from the top."""
    users = [0] * count
    below: list[list[int]] = [[] for _ in range(count)]
    for start, end in pairs:
        below[start].append(end)
        users[end] += 1
    ranks = [0] * count
    ready = [node for node in range(count) if users[node] == 0]
    while ready:
        node = ready.pop()
        for end in below[node]:
            ranks[end] = max(ranks[end], ranks[node] + 1)
            users[end] -= 1
            if users[end] == 0:
                ready.append(end)
    return ranks


def _order(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    """Order each row by the mean place of its neighbours, downwards and upwards in turn."""
    spot: dict[int, float] = {}

    def settle(row: list[int], neighbours: list[list[int]] | None) -> None:
        if neighbours is not None:
            key = {
                item: sum(spot[n] for n in neighbours[item]) / len(neighbours[item]) if neighbours[item] else spot[item]
                for item in row
            }
            row.sort(key=key.__getitem__)
        for i, item in enumerate(row):
            spot[item] = (i + 0.5) / len(row)

    for row in rows:
        settle(row, None)
    for sweep in range(SWEEPS):
        for row in rows[1:] if sweep % 2 == 0 else rows[-2::-1]:
            settle(row, above if sweep % 2 == 0 else below)


def _spread(
    rows: list[list[int]],
    sizes: list[float],
    weights: list[float],
    above: list[list[int]],
    below: list[list[int]],
) -> list[float]:
    """Centres: each box as near to its neighbours' mean as its row allows, the order of the row kept."""
    x = [0.0] * len(sizes)
    for row in rows:
        for item, start in zip(row, _offsets([sizes[item] for item in row]), strict=True):
            x[item] = start

    def mean(item: int, neighbours: list[int]) -> float:
        total = sum(weights[n] for n in neighbours)
        return sum(weights[n] * x[n] for n in neighbours) / total if neighbours else x[item]

    for sweep in range(SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        for row in rows[1:] if sweep % 2 == 0 else rows[-2::-1]:
            wish = [mean(item, neighbours[item]) for item in row]
            fitted = _fit(wish, [weights[item] for item in row], _offsets([sizes[item] for item in row]))
            for item, centre in zip(row, fitted, strict=True):
                x[item] = centre
    return x


def _offsets(sizes: list[float]) -> list[float]:
    """Centres of boxes put side by side, the first at 0."""
    return list(accumulate(((a + b) / 2 + GAP for a, b in pairwise(sizes)), initial=0.0))


def _fit(wish: list[float], weights: list[float], offsets: list[float]) -> list[float]:
    """The places nearest to the wishes (least squares) that keep the order and the gaps: pool neighbours that clash."""
    pools: list[tuple[float, float, int]] = []  # weighted sum of wishes less offsets, weight, number of boxes
    for want, weight, offset in zip(wish, weights, offsets, strict=True):
        pools.append((weight * (want - offset), weight, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            (a, b, c), (d, e, f) = pools.pop(), pools.pop()
            pools.append((a + d, b + e, c + f))
    starts = [total / weight for total, weight, number in pools for _ in range(number)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]
