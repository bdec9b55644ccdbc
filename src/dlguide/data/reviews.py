"""Made reviews in which only the order of the words tells praise from blame.

Each review has a twin with the same words and the other label: "the film was good , not bad" and "the film was bad ,
not good". Whatever looks only at which words there are, and how often, gives both the same answer, and is right about
exactly one of the two. What reads them in order can be right about all.
"""

from __future__ import annotations

import itertools

import torch

from dlguide.data.split import Examples

PAIRS = 2_000
_OPENINGS = ("", "honestly ,", "i must say", "last night we saw it :", "to be fair ,", "my friends agree that")
_THINGS = ("film", "story", "plot", "music", "cast", "ending", "acting", "dialogue", "camera", "script", "sound")
_GOOD = ("good", "great", "clever", "moving", "funny", "brilliant", "charming", "fresh", "gripping", "warm")
_BAD = ("bad", "dull", "silly", "cold", "boring", "terrible", "clumsy", "stale", "slow", "weak")
_DEGREES = ("", "really", "at all", "in any way")
# {a} is what the thing is, {b} what it is not; {d} stands between "not" and its word, so that two neighbours alone do
# not always tell
_FORMS = (
    "the {t} was not {d} {b} but {a}",
    "the {t} was {a} and not {d} {b}",
    "nobody can call the {t} {d} {b} , it is {a}",
    "the {t} is {a} , never {d} {b}",
    "the {t} was {a} without being {d} {b}",
    "i do not find the {t} {d} {b} , i find it {a}",
    "it is wrong to call the {t} {d} {b} , it was {a}",
    "the {t} is {a} , and nothing about it is {d} {b}",
)


def read_reviews() -> Examples:
    """Make 4,000 different reviews, always the same ones; neighbours are twins."""
    sizes = [len(_OPENINGS), len(_THINGS), len(_DEGREES), len(_FORMS), len(_GOOD), len(_BAD)]
    cells = torch.cartesian_prod(*(torch.arange(size) for size in sizes))
    chosen = torch.randperm(len(cells), generator=torch.Generator().manual_seed(0))[:PAIRS]
    texts: list[str] = []
    for opening, thing, degree, form, good, bad in cells[chosen].tolist():
        for a, b in itertools.permutations((_GOOD[good], _BAD[bad])):  # first what praises, then its twin
            middle = _FORMS[form].format(t=_THINGS[thing], d=_DEGREES[degree], a=a, b=b)
            texts.append(" ".join(f"{_OPENINGS[opening]} {middle}".split()))
    return Examples(texts, torch.tensor([1, 0]).repeat(PAIRS), ("neg", "pos"), together=2)
