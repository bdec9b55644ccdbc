"""The made reviews: what looks at words without their order is at chance, what reads them in order is not."""

import re
from collections import Counter

import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import nn

from dlguide.data import load, reviews


@pytest.fixture(scope="module")
def parts():
    return load("reviews")


def texts_of(parts, part):
    ids, _, y = getattr(parts, part).tensors
    return [parts.vocabulary.decode(row) for row in ids], y


def test_every_bag_of_words_comes_equally_often_with_both_labels(parts):
    for part in ("train", "validation", "test"):
        texts, y = texts_of(parts, part)
        signs: Counter[str] = Counter()
        for text, label in zip(texts, y.tolist(), strict=True):
            signs[" ".join(sorted(text.split()))] += 2 * label - 1
        assert set(signs.values()) == {0}, part


def test_all_reviews_differ_and_are_the_same_each_time():
    first, again = reviews.read_reviews(), reviews.read_reviews()
    assert first.x == again.x
    assert len(set(first.x)) == len(first.x) == 4_000
    assert first.y.sum() == 2_000


def test_the_label_is_what_a_reader_would_say():
    """An independent reading: drop what follows a negation, and see which word of praise or blame is left."""
    good, bad = set(reviews._GOOD), set(reviews._BAD)
    denied = r"(not find|nobody can call|wrong to call)[^,]*,"
    denied += r"|\b(was not|and not|never|without being|nothing about it is)\b"
    examples = reviews.read_reviews()
    for text, label in zip(examples.x, examples.y.tolist(), strict=True):
        left = re.sub(rf"(?:{denied}) *(?:really|at all|in any way)? *(?:{'|'.join(sorted(good | bad))})?", " ", text)
        words = [word for word in left.split() if word in good | bad]
        assert len(words) == 1, text
        assert (words[0] in good) == bool(label), text


def test_no_text_is_in_two_parts_and_every_test_word_is_known(parts):
    seen = [set(texts_of(parts, part)[0]) for part in ("train", "validation", "test")]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (2_800, 400, 800)
    for part in (parts.train, parts.validation, parts.test):
        assert not (part.tensors[0] == parts.vocabulary.unknown).any()


@pytest.mark.parametrize("power", [1, 2])
def test_a_bag_of_words_is_right_on_exactly_half(parts, power):
    """Whatever it has learned: twins get the same answer. Words of power 2 are products of counts, also a bag."""
    (train, y), (test, truth) = texts_of(parts, "train"), texts_of(parts, "test")
    count = CountVectorizer(token_pattern=r"\S+").fit(train)
    bags = [count.transform(some).toarray() for some in (train, test)]
    if power == 2:
        mix = torch.randn(bags[0].shape[1], 8, generator=torch.Generator().manual_seed(0)).numpy()
        bags = [(bag @ mix) ** 2 for bag in bags]
    assert LogisticRegression(max_iter=200).fit(bags[0], y).score(bags[1], truth) == 0.5


def test_a_recurrent_network_reads_the_order(parts):
    torch.manual_seed(0)
    (ids, lengths, y), (test_ids, test_lengths, truth) = parts.train.tensors, parts.test.tensors
    embedding, gru, head = nn.Embedding(len(parts.vocabulary), 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 2)
    weights = [*embedding.parameters(), *gru.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.01)

    def logits(ids, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        return head(gru(packed)[1][0])

    for _ in range(3):
        for rows in torch.randperm(len(y)).split(100):
            loss = nn.functional.cross_entropy(logits(ids[rows], lengths[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        accuracy = (logits(test_ids, test_lengths).argmax(1) == truth).float().mean().item()
    assert accuracy > 0.95
