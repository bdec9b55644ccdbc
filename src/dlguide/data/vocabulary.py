r"""Texts as numbers: a vocabulary that numbers words, and batches padded to one length.

A model needs numbers, and a batch needs one length. `Vocabulary` gives each known word a number from 2 on; 0 is padding
and 1 stands for every word that it does not know. `pad_batch` is the collate function for a `DataLoader`.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

UNITS = ("words", "characters")
# A word is a run of letters and digits, with an apostrophe inside ("isn't"); a Chinese character is a word of its own,
# because no space says where words end; so is every other sign.
_WORD = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+(?:'[^\W\u4e00-\u9fff]+)*|[^\w\s]")


class Vocabulary:
    """The known words and their numbers: 0 is padding, 1 any unknown word, the known ones count from 2.

    Args:
        words: the known words, each once; the first gets number 2.
        unit: `"words"`: lower-case words, signs and single Chinese characters; or `"characters"`: each one as it is.

    Raises:
        ValueError: an unknown unit, or a word that comes twice.

    Example:
        ```python
        from dlguide.data import Vocabulary

        vocabulary = Vocabulary.build(["Good film!", "a good, good idea"])
        print(vocabulary.encode("A good actor"))
        print(vocabulary.decode([3, 2, 1]))
        ```

        ``` {.text .output}
        [5, 2, 1]
        ! good <unknown>
        ```
    """

    padding = 0
    unknown = 1

    def __init__(self, words: Iterable[str], *, unit: str = "words") -> None:
        if unit not in UNITS:
            raise ValueError(f"expected unit 'words' or 'characters', got {unit!r}")
        self.unit = unit
        self._words = list(words)
        self._number = {word: number for number, word in enumerate(self._words, 2)}
        if len(self._number) != len(self._words):
            twice = next(word for word, count in Counter(self._words).items() if count > 1)
            raise ValueError(f"expected each word once, got {twice!r} twice")

    @classmethod
    def build(
        cls, texts: Iterable[str], *, max_words: int = 20_000, min_count: int = 1, unit: str = "words"
    ) -> Vocabulary:
        """Take the words of some texts, the most frequent first, equally frequent ones by alphabet.

        Args:
            texts: the texts of the training part; words that only the other parts hold must stay unknown.
            max_words: so many words at most, besides padding and unknown; at least 1.
            min_count: leave out words that come fewer times than this.
            unit: see the class.
        """
        if max_words < 1:
            raise ValueError(f"expected max_words of at least 1, got {max_words}")
        empty, counts = cls((), unit=unit), Counter[str]()
        for text in texts:
            counts.update(empty.tokens(text))
        ranked = sorted((-count, word) for word, count in counts.items() if count >= min_count)
        return cls((word for _, word in ranked[:max_words]), unit=unit)

    def tokens(self, text: str) -> list[str]:
        """Cut a text into words or characters.

        Args:
            text: any text.
        """
        return list(text) if self.unit == "characters" else _WORD.findall(text.lower())

    def encode(self, text: str) -> list[int]:
        """Give the number of each word; a text without any word becomes one unknown word, since no sequence is empty.

        Args:
            text: any text.
        """
        words = self.tokens(text)
        return list(map(self._number.get, words, itertools.repeat(self.unknown))) or [self.unknown]  # type: ignore[arg-type]

    def decode(self, ids: Iterable[int]) -> str:
        """Write numbers as words again; padding is left out.

        Args:
            ids: numbers in `[0, len(vocabulary))`, a list or a tensor of one dimension.
        """
        known = ["", "<unknown>", *self._words]
        words = [known[int(number)] for number in ids if int(number) != self.padding]
        return ("" if self.unit == "characters" else " ").join(words)

    def __len__(self) -> int:
        """How many numbers there are, padding and unknown among them: the rows that an embedding needs."""
        return len(self._words) + 2

    def __contains__(self, word: object) -> bool:
        return word in self._number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.state_dict() == other.state_dict()

    def __hash__(self) -> int:
        return hash((self.unit, tuple(self._words)))

    def state_dict(self) -> dict[str, Any]:
        """Return what makes this vocabulary again: plain lists and strings, which a checkpoint keeps safely."""
        return {"words": list(self._words), "unit": self.unit}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Vocabulary:
        """Make the vocabulary again.

        Args:
            state: what `state_dict` returned.
        """
        return cls(state["words"], unit=state["unit"])


# --8<-- [start:pad]
def pad(sequences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Put sequences into one tensor: ids [N, T] padded with 0 to the longest, lengths [N]; both int64."""
    lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)
    ids = torch.zeros(len(sequences), int(lengths.max()) if len(lengths) else 0, dtype=torch.int64)
    filled = torch.arange(ids.shape[1]) < lengths.unsqueeze(1)  # [N, T]
    ids[filled] = torch.tensor([number for sequence in sequences for number in sequence], dtype=torch.int64)
    return ids, lengths


# --8<-- [end:pad]


def pad_batch(examples: Sequence[tuple[Any, ...]]) -> tuple[Tensor, Tensor, Tensor]:
    """Make a batch of texts of different lengths: the collate function of a `DataLoader`.

    Args:
        examples: pairs `(ids, label)`, ids a list or a tensor `[T]`; or triples `(ids, length, label)` as the parts of
            `load` hold them, whose padding is cut off first.

    Returns:
        `(ids [B, T], lengths [B], y [B])`, all int64; T is the longest length of this batch, behind the end is 0.

    Example:
        ```python
        from dlguide.data import pad_batch

        ids, lengths, y = pad_batch([([5, 2, 1], 0), ([7], 1)])
        print(ids.tolist(), lengths.tolist(), y.tolist())
        ```

        ``` {.text .output}
        [[5, 2, 1], [7, 0, 0]] [3, 1] [0, 1]
        ```

    References:
        - [torch.utils.data: collate_fn](https://docs.pytorch.org/docs/stable/data.html#dataloader-collate-fn)
        - [torch.nn.utils.rnn.pack_padded_sequence](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html)
    """
    sequences = [example[0] if len(example) == 2 else example[0][: int(example[1])] for example in examples]
    ids, lengths = pad([ids.tolist() if isinstance(ids, Tensor) else ids for ids in sequences])
    return ids, lengths, torch.tensor([int(example[-1]) for example in examples], dtype=torch.int64)
