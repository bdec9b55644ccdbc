"""Words and their numbers, against a plain count, scikit-learn and PyTorch's own padding."""

from collections import Counter

import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, TensorDataset

from dlguide.data import Vocabulary, load, pad_batch

TEXTS = ["The cat sat on the mat.", "the dog, the cat!", "It isn't a dog", "2 dogs"]


def test_words_are_numbered_by_count_and_then_by_alphabet():
    vocabulary = Vocabulary.build(TEXTS)
    assert vocabulary.encode("the cat dog !") == [2, 3, 4, 5]
    counts = Counter(" ".join(["the cat sat on the mat .", "the dog , the cat !", "it isn't a dog", "2 dogs"]).split())
    expected = sorted(counts, key=lambda word: (-counts[word], word))
    assert vocabulary.state_dict()["words"] == expected
    assert len(vocabulary) == len(expected) + 2


def test_scikit_learn_counts_the_same_words():
    plain = ["a cat and a dog", "two dogs and 3 cats", "a b c a"]
    theirs = CountVectorizer(token_pattern=r"\S+").fit(plain)
    ours = Vocabulary.build(plain)
    assert set(theirs.vocabulary_) == set(ours.state_dict()["words"])
    bags = torch.stack([torch.bincount(torch.tensor(ours.encode(text)), minlength=len(ours)) for text in plain])
    order = [ours.encode(word)[0] for word in theirs.get_feature_names_out()]
    assert bags[:, order].tolist() == theirs.transform(plain).toarray().tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It ISN'T so.", ["it", "isn't", "so", "."]),
        ("'quoted' rock'n'roll", ["'", "quoted", "'", "rock'n'roll"]),
        ("好看abc的 电影。", ["好", "看", "abc", "的", "电", "影", "。"]),
        ("naïve_1 10%", ["naïve_1", "10", "%"]),
        (" \n\t", []),
    ],
)
def test_what_a_word_is(text, words):
    assert Vocabulary([]).tokens(text) == words


def test_unknown_and_empty_texts():
    vocabulary = Vocabulary.build(TEXTS, max_words=2)
    assert len(vocabulary) == 4
    assert vocabulary.encode("the bird") == [2, 1]
    assert vocabulary.encode("") == [1]
    assert vocabulary.decode([2, 1, 0, 0]) == "the <unknown>"
    assert "the" in vocabulary
    assert "bird" not in vocabulary
    assert Vocabulary.build(TEXTS, min_count=2).state_dict()["words"] == ["the", "cat", "dog"]


def test_encoding_and_decoding_return_the_words():
    for unit, text in (("words", "the cat isn't on the mat ."), ("characters", "The cat isn't 好!")):
        vocabulary = Vocabulary.build([text], unit=unit)
        assert vocabulary.decode(vocabulary.encode(text)) == text
        assert vocabulary.decode(torch.tensor(vocabulary.encode(text))) == text


def test_a_checkpoint_keeps_it(tmp_path):
    vocabulary = Vocabulary.build(TEXTS, unit="characters")
    torch.save(vocabulary.state_dict(), tmp_path / "v.pt")
    again = Vocabulary.from_state(torch.load(tmp_path / "v.pt", weights_only=True))
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)
    assert again.unit == "characters"
    assert again != Vocabulary.build(TEXTS)
    assert again != "words"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Vocabulary([], unit="lines"), "expected unit 'words' or 'characters', got 'lines'"),
        (lambda: Vocabulary(["a", "b", "a"]), "expected each word once, got 'a' twice"),
        (lambda: Vocabulary.build(TEXTS, max_words=0), "expected max_words of at least 1, got 0"),
    ],
)
def test_wrong_arguments_get_one_clear_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


# ---- padding


@pytest.mark.parametrize("kind", ["lists", "tensors"])
def test_padding_is_pytorchs(kind):
    sequences = [[5, 2, 1], [7], [3, 4]]
    given = [torch.tensor(s) for s in sequences] if kind == "tensors" else sequences
    ids, lengths, y = pad_batch(list(zip(given, (2, 0, torch.tensor(1)), strict=True)))
    assert torch.equal(ids, pad_sequence([torch.tensor(s) for s in sequences], batch_first=True))
    assert lengths.tolist() == [3, 1, 2]
    assert y.tolist() == [2, 0, 1]
    assert ids.dtype == lengths.dtype == y.dtype == torch.int64


def test_padding_cuts_what_the_batch_does_not_need():
    ids = torch.tensor([[5, 2, 0, 0], [7, 0, 0, 0], [1, 2, 3, 4]])
    part = TensorDataset(ids, torch.tensor([2, 1, 4]), torch.tensor([0, 1, 1]))
    first, second = DataLoader(part, batch_size=2, collate_fn=pad_batch)
    assert first[0].tolist() == [[5, 2], [7, 0]]
    assert [t.tolist() for t in second] == [[[1, 2, 3, 4]], [4], [1]]


def test_a_share_of_nothing_is_an_empty_batch():
    assert [t.shape for t in pad_batch([])] == [(0, 0), (0,), (0,)]


def test_a_packed_batch_gives_the_same_as_each_text_alone():
    torch.manual_seed(0)
    parts = load("reviews")
    embedding = torch.nn.Embedding(len(parts.vocabulary), 4, padding_idx=0)
    lstm = torch.nn.LSTM(4, 5, batch_first=True)
    ids, lengths, _ = pad_batch([parts.train[i] for i in range(6)])
    packed = torch.nn.utils.rnn.pack_padded_sequence(embedding(ids), lengths, batch_first=True, enforce_sorted=False)
    together = lstm(packed)[1][0][0]
    alone = torch.cat([lstm(embedding(row[:n].unsqueeze(0)))[1][0][0] for row, n in zip(ids, lengths, strict=True)])
    torch.testing.assert_close(together, alone)
