"""Labelled texts in every form that is read, as the same parts; and files damaged on purpose."""

import csv
import gzip
import io
import json
import lzma
from collections import Counter

import pytest
import torch

from dlguide.data import DataError, find, load, texts

ROWS = [
    ("A good film, really!", "pos"),
    ("Dull, slow and long.", "neg"),
    ('He said "no", twice.\nThen he left.', "neg"),
    ("好看的电影，值得一看", "pos"),
    ("It's fine", "pos"),
    ("", "neg"),
]


def as_csv(rows=ROWS):
    kept = io.StringIO(newline="")
    table = csv.writer(kept)
    table.writerow(["text", "id", "label"])
    table.writerows([text, i, label] for i, (text, label) in enumerate(rows))
    return kept.getvalue().encode()


def as_json_lines(rows=ROWS):
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows).encode()


FORMS = {
    "a.csv": as_csv(), "a.csv.gz": gzip.compress(as_csv()), "a.csv.xz": lzma.compress(as_csv()),
    "a.jsonl": as_json_lines(), "a.jsonl.gz": gzip.compress(as_json_lines()),
    "a.jsonl.xz": lzma.compress(as_json_lines()), "mark.csv": b"\xef\xbb\xbf" + as_csv(),
}  # fmt: skip


def rows_of(examples):
    return Counter((text, examples.classes[y]) for text, y in zip(examples.x, examples.y.tolist(), strict=True))


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_table_holds_the_same_rows(tmp_path, name):
    (tmp_path / name).write_bytes(FORMS[name])
    found = texts.read_texts(tmp_path / name)
    assert found.classes == ("neg", "pos")
    assert rows_of(found) == Counter(ROWS)


def test_a_folder_for_each_class(tmp_path):
    for i, (text, label) in enumerate(ROWS):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / f"{i}.txt").write_bytes(text.encode())
    (tmp_path / "unsup").mkdir()  # aclImdb's reviews without a label
    assert rows_of(texts.read_texts(tmp_path)) == Counter(ROWS)


@pytest.mark.parametrize("names", [("neg.txt", "pos.txt"), ("rt.neg", "rt.pos"), ("neg.txt.gz", "pos.txt.gz")])
def test_a_file_for_each_class(tmp_path, names):
    (tmp_path / "README.txt").write_text("not a class")
    (tmp_path / "LICENSE").write_text("not a class")
    for name, lines in zip(names, ("dull\n\nslow\n", "good\n fi\x85ne \r\n"), strict=True):
        raw = lines.encode()
        (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    expected = Counter([("dull", "neg"), ("slow", "neg"), ("good", "pos"), ("fi\x85ne", "pos")])
    assert rows_of(texts.read_texts(tmp_path)) == expected


@pytest.mark.parametrize("form", ["files", "folders"])
def test_hidden_files_and_folders_are_left_out(tmp_path, form):
    for label in ("neg", "pos"):
        for hidden in ("", "._", ".ipynb_checkpoints/"):
            file = tmp_path / (f"{hidden}{label}.txt" if form == "files" else f"{label}/{hidden}a.txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{hidden}{label}")
    assert rows_of(texts.read_texts(tmp_path)) == Counter([("neg", "neg"), ("pos", "pos")])


def test_a_long_text_in_a_table(tmp_path):
    before = csv.field_size_limit()
    rows = [("long " * 40_000, "pos"), ("short", "neg")]
    (tmp_path / "a.csv").write_bytes(as_csv(rows))
    assert rows_of(texts.read_texts(tmp_path / "a.csv")) == Counter(rows)
    assert csv.field_size_limit() == before


def test_a_stray_folder_beside_the_parts_is_refused(tmp_path):
    for part in ("train", "test", "old"):
        for label in ("neg", "pos"):
            (tmp_path / part / label).mkdir(parents=True)
            (tmp_path / part / label / "a.txt").write_text(f"{part} {label}")
    with pytest.raises(DataError, match="should hold the parts train and test, and holds the folder 'old' beside them"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["tables", "folders"])
def test_a_folder_with_parts_brings_its_own(tmp_path, kind):
    for part, times in (("train", 3), ("valid", 1), ("test", 2)):
        rows = [(f"{text} {part} {i}", label) for text, label in ROWS for i in range(times)]
        if kind == "tables":
            (tmp_path / f"{part}.jsonl.xz").write_bytes(lzma.compress(as_json_lines(rows)))
        else:
            for i, (text, label) in enumerate(rows):
                (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
                (tmp_path / part / label / f"{i}.txt").write_text(text, "utf-8")
    parts = load(tmp_path)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (18, 6, 12)
    for split, word in ((parts.train, "train"), (parts.validation, "<unknown>"), (parts.test, "<unknown>")):
        ids, lengths, _ = split.tensors  # the name of its part is in each text, and only "train" is in the vocabulary
        said = [parts.vocabulary.decode(row[:n]).split() for row, n in zip(ids, lengths, strict=True)]
        assert all(word in words for words in said)
    assert "test" not in parts.vocabulary
    assert "valid" not in parts.vocabulary


def test_whole_numbers_are_sorted_as_numbers(tmp_path):
    lines = "".join(json.dumps({"text": "t", "label": label}) + "\n" for label in (10, 9, -1, 10))
    (tmp_path / "a.jsonl").write_text(lines)
    found = texts.read_texts(tmp_path / "a.jsonl")
    assert found.classes == ("-1", "9", "10")
    assert found.y.tolist() == [2, 1, 0, 2]


def test_ids_lengths_and_labels(tmp_path):
    (tmp_path / "a.csv").write_bytes(as_csv())
    parts = load(tmp_path / "a.csv", validation=0.2, test=0.2, max_length=5)
    seen = []
    for part in (parts.train, parts.validation, parts.test):
        ids, lengths, y = part.tensors
        assert ids.dtype == lengths.dtype == y.dtype == torch.int64
        assert lengths.min() >= 1
        assert ids.shape[1] == lengths.max() <= 5
        assert torch.equal(ids != 0, torch.arange(ids.shape[1]) < lengths.unsqueeze(1))  # padding is behind the end
        seen += y.tolist()
    assert Counter(seen) == Counter([0, 0, 0, 1, 1, 1])
    short, ids = parts.train.tensors[0], load(tmp_path / "a.csv", validation=0.2, test=0.2).train.tensors[0]
    assert torch.equal(short, ids[:, :5])  # the end is cut off
    assert set(ids.flatten().tolist()) == {0, *range(2, len(parts.vocabulary))}  # each training word has a number


def test_characters(tmp_path):
    for name in ("de", "en"):
        (tmp_path / f"{name}.txt").write_text("Anna\nBob\nCäsar\nDora\nEva\n", "utf-8")
    parts = load(tmp_path, unit="characters")
    ids, lengths, _ = parts.train.tensors
    assert {parts.vocabulary.decode(row) for row in ids} <= {"Anna", "Bob", "Cäsar", "Dora", "Eva"}
    assert lengths.max() == ids.shape[1]


def test_another_encoding_is_asked_for_and_read(tmp_path):
    for name, text in (("neg", "déçu"), ("pos", "très bien")):
        (tmp_path / f"{name}.txt").write_bytes(f"{text}\n".encode("latin-1") * 5)
    with pytest.raises(DataError, match=r"neg.txt .* is not utf-8 at byte 1 \(0xe9\).*encoding='latin-1'.*'gb18030'"):
        load(tmp_path)
    assert rows_of(texts.read_texts(tmp_path, "latin-1"))["déçu", "neg"] == 5
    (tmp_path / "a.csv").write_bytes("text,label\n好看,1\n难看,0\n".encode("gb18030"))
    assert rows_of(texts.read_texts(tmp_path / "a.csv", "gb18030")) == Counter([("好看", "1"), ("难看", "0")])


JSON_LINES = as_json_lines()
DAMAGED = {
    "truncated xz": ("a.jsonl.xz", lzma.compress(JSON_LINES)[:-20], "cannot be unpacked"),
    "truncated gz": ("a.csv.gz", gzip.compress(as_csv())[:-20], "cannot be unpacked"),
    "not packed": ("a.csv.gz", as_csv(), "cannot be unpacked"),
    "truncated json": ("a.jsonl", JSON_LINES[:-20], "line 6 is no JSON"),
    "a list": ("a.jsonl", b'["text", "label"]\n', 'line 1: expected {"text": "...", "label": "..."}'),
    "no label": ("a.jsonl", JSON_LINES + b'{"text": "x"}\n', "line 7: expected"),
    "a number for text": ("a.jsonl", b'{"text": 3, "label": 1}\n', "line 1: expected"),
    "a fraction for label": ("a.jsonl", b'{"text": "x", "label": 0.5}\n', "a whole number"),
    "other columns": ("a.csv", b"review,stars\nx,1\n", "columns text and label, and has ['review', 'stars']"),
    "no columns": ("a.csv", b"", "columns text and label, and has []"),
    "short line": ("a.csv", b"text,label\nx,1\ny\n", "line 3: expected 2 columns"),
    "long line": ("a.csv", b"text,label\nx,1\ny,0,2\n", "line 3: expected 2 columns"),
    "open quote": ("a.csv", b'text,label\n"x,1\ny,0\n', "unexpected end of data"),
    "no rows": ("a.csv", b"text,label\n", "should hold labelled texts, and holds none"),
    "one label": ("a.csv", b"text,label\nx,1\n", "at least two labels, and holds 1: 1"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_table_gets_one_sentence(tmp_path, damage):
    name, raw, sentence = DAMAGED[damage]
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataError) as caught:
        load(tmp_path / name)
    assert sentence in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_without_texts_are_named(tmp_path):
    with pytest.raises(DataError, match=r"should hold labelled texts, and holds none: expected a .csv"):
        load(tmp_path)
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos" / "1.txt").write_text("good")
    (tmp_path / "neg").mkdir()
    with pytest.raises(DataError, match=r"neg should hold .txt files, one text in each, and holds none"):
        load(tmp_path)


def test_a_label_that_only_the_test_part_has_is_named(tmp_path):
    (tmp_path / "train.csv").write_bytes(as_csv())
    (tmp_path / "test.csv").write_text("text,label\nx,odd\n")
    with pytest.raises(DataError, match=r"test.csv holds the label 'odd', which the training part does not have"):
        load(tmp_path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        list(texts._csv(tmp_path / "a.csv", "utf-8"))


# ---- IMDB, made small

REVIEWS = {
    ("train", "neg"): ["Bad.<br /><br />Really bad.", "Dull", " Slow "],
    ("train", "pos"): ["Good", "Great", "Fine é"],
    ("test", "neg"): ["Weak", "Cold", "Stale"],
    ("test", "pos"): ["Warm", "Fresh", "Funny"],
}


def checksums():
    import zlib

    return {
        (part == "test", int(label == "pos")): (len(all_), sum(zlib.crc32(text.strip().encode()) for text in all_))
        for (part, label), all_ in REVIEWS.items()
    }


@pytest.fixture(params=["aclImdb", "json lines"])
def imdb(request, tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "IMDB_CHECKSUMS", checksums())
    if request.param == "aclImdb":
        for (part, label), some in REVIEWS.items():
            folder = tmp_path / "aclImdb" / part / label
            folder.mkdir(parents=True)
            for i, text in enumerate(some):
                (folder / f"{i}_{i + 1}.txt").write_bytes(text.encode())
        (tmp_path / "aclImdb" / "train" / "unsup").mkdir()
        (tmp_path / "aclImdb" / "train" / "unsup" / "0_0.txt").write_text("no label")
        (tmp_path / "aclImdb" / "README").write_text("no review")
    else:
        (tmp_path / "imdb").mkdir()
        for part in ("train", "test"):
            rows = [(text, int(label == "pos")) for (p, label), some in REVIEWS.items() if p == part for text in some]
            (tmp_path / "imdb" / f"{part}.jsonl.xz").write_bytes(lzma.compress(as_json_lines(rows)))
    return tmp_path


def test_imdb_reads_the_same_from_both_forms(imdb):
    found = texts.read_imdb(imdb)
    assert found.classes == ("neg", "pos")
    expected = [(text.strip().replace("<br />", " "), label) for (_, label), some in REVIEWS.items() for text in some]
    assert rows_of(found) == Counter(expected)
    assert found.test == 6
    parts = load("imdb", folder=imdb, validation=0.2)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (5, 1, 6)
    assert parts.classes == ("neg", "pos")
    assert find("imdb", imdb) is not None


def test_a_missing_or_changed_review_is_noticed(imdb, monkeypatch):
    whole = checksums()
    monkeypatch.setattr(texts, "IMDB_CHECKSUMS", whole | {(True, 1): (4, whole[True, 1][1])})
    with pytest.raises(DataError, match="should hold the 4 positive reviews of IMDB's test part, and holds 3; unpack"):
        load("imdb", folder=imdb)
    monkeypatch.setattr(texts, "IMDB_CHECKSUMS", whole | {(False, 0): (3, whole[False, 0][1] + 1)})
    with pytest.raises(DataError, match="the 3 negative reviews of IMDB's train part, and holds 3 of which"):
        load("imdb", folder=imdb)


def test_imdb_without_its_test_part_is_missing(imdb):
    place = find("imdb", imdb)
    (next(iter(place.glob("test*")))).rename(place / "other")
    with pytest.raises(FileNotFoundError, match=r"50,000 reviews of IMDB\) is missing: unpack aclImdb_v1.tar.gz"):
        load("imdb", folder=imdb)
