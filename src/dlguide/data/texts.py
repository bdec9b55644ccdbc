"""Labelled texts: CSV, JSON lines, a folder for each class, a file for each class, and IMDB.

A table has the columns `text` and `label`. In a folder, CLASS/*.txt holds one text in a file, and CLASS.txt holds one
text in a line. A folder with train and test (and val) brings its own parts. Files may be packed, .gz or .xz.
"""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import torch

from dlguide.data.files import DataError, own_parts, part_folders, plain_name, read_text, visible
from dlguide.data.split import Examples

Rows = list[tuple[str, str]]  # (text, label)
_WHAT, _REMEDY = "labelled texts", "get it again"


def read_texts(path: Path, encoding: str = "utf-8") -> Examples:
    """Read labelled texts from a file or a folder."""
    parts = own_parts(path) if path.is_dir() else {}
    found = {part: _read_part(place, encoding) for part, place in (parts or {"train": path}).items()}
    labels = {label for _, label in found["train"]}
    if len(labels) < 2:
        raise DataError(f"{path} should hold at least two labels, and holds {len(labels)}: {', '.join(labels)}")
    whole = all(label.removeprefix("-").isdecimal() for label in labels)
    classes = sorted(labels, key=int) if whole else sorted(labels)
    for part, rows in found.items():
        if extra := {label for _, label in rows} - labels:
            raise DataError(f"{parts[part]} holds the label {min(extra)!r}, which the training part does not have")
    number = {label: y for y, label in enumerate(classes)}
    rows = [row for part in ("train", "validation", "test") for row in found.get(part, [])]
    return Examples(
        [text for text, _ in rows],
        torch.tensor([number[label] for _, label in rows]),
        tuple(classes),
        validation=len(found.get("validation", [])),
        test=len(found.get("test", [])),
    )


def _read_part(path: Path, encoding: str) -> Rows:
    if path.is_dir():
        rows = list(_folders(path, encoding) if any(p.is_dir() for p in visible(path)) else _files(path, encoding))
    elif plain_name(path).endswith(".csv"):
        rows = list(_csv(path, encoding))
    else:
        rows = list(_json_lines(path, encoding))
    if not rows:
        raise DataError(f"{path} should hold {_WHAT}, and holds none: {expected()}")
    return rows


def expected() -> str:
    """Say which forms of labelled examples are read."""
    return (
        "expected a .csv or .jsonl file with text and label (.gz and .xz too), or a folder with CLASS/*.txt,"
        " one text in a file, or with CLASS.txt, one text in a line, or with pictures in CLASS/"
    )


def _csv(path: Path, encoding: str) -> Iterator[tuple[str, str]]:
    table = csv.DictReader(io.StringIO(read_text(path, encoding, _WHAT, _REMEDY), newline=""), strict=True)
    limit = csv.field_size_limit(2**31 - 1)  # a text may be longer than the 131,072 characters that csv allows
    try:
        columns = list(table.fieldnames or [])
        if not {"text", "label"} <= set(columns):
            raise DataError(f"{path} should begin with a line that names the columns text and label, and has {columns}")
        for row in table:
            if row["text"] is None or row["label"] is None or None in row:
                raise DataError(f"{path}, line {table.line_num}: expected {len(columns)} columns; {_REMEDY}")
            yield row["text"], row["label"].strip()
    except csv.Error as error:
        raise DataError(f"{path}, line {table.line_num}: {error}; {_REMEDY}") from error
    finally:
        csv.field_size_limit(limit)


def _json_lines(path: Path, encoding: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(read_text(path, encoding, _WHAT, _REMEDY).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number} is no JSON, {error}; {_REMEDY}") from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not isinstance(
            row.get("label"), str | int
        ):  # fmt: skip
            raise DataError(
                f'{path}, line {number}: expected {{"text": "...", "label": "..."}} with a label that is a string or'
                f" a whole number, got {line[:60]}"
            )
        yield row["text"], str(row["label"])


def _folders(folder: Path, encoding: str) -> Iterator[tuple[str, str]]:
    for place in visible(folder):
        if not place.is_dir() or place.name == "unsup":  # aclImdb keeps reviews without a label there
            continue
        files = visible(place, "*.txt")
        if not files:
            raise DataError(f"{place} should hold .txt files, one text in each, and holds none")
        for path in files:
            yield read_text(path, encoding, _WHAT, _REMEDY), place.name


def _files(folder: Path, encoding: str) -> Iterator[tuple[str, str]]:
    for path in visible(folder):
        name, _, kind = plain_name(path).rpartition(".")
        if kind not in ("txt", "pos", "neg") or name.lower() in ("readme", "license"):
            continue
        for line in read_text(path, encoding, _WHAT, _REMEDY).split("\n"):  # splitlines() would split at \x85 too
            if line.strip():
                yield line.strip(), name if kind == "txt" else kind


# ---- IMDB: 25,000 + 25,000 reviews

# (whether in the test part, label): how many reviews, and the sum of the CRC-32 of each, in whatever order they come
IMDB_CHECKSUMS = {
    (False, 0): (12_500, 26_866_515_213_742),
    (False, 1): (12_500, 26_849_979_806_833),
    (True, 0): (12_500, 27_020_583_438_289),
    (True, 1): (12_500, 26_738_635_270_295),
}


def find_imdb(folder: Path) -> Path | None:
    """Find the folder with train/pos/*.txt or with train.jsonl."""
    places = [folder / "aclImdb", folder / "imdb", folder]
    return next((place for place in places if place.is_dir() and {"train", "test"} <= set(part_folders(place))), None)


def read_imdb(folder: Path) -> Examples:
    """Read the Large Movie Review Dataset; label 0 is a negative review, 1 a positive one."""
    remedy = (
        "unpack aclImdb_v1.tar.gz from https://ai.stanford.edu/~amaas/data/sentiment/ there,"
        " or set DLGUIDE_DATA to the folder that holds aclImdb"
    )
    place = find_imdb(folder)
    if place is None:
        raise FileNotFoundError(f"{folder / 'aclImdb'} (50,000 reviews of IMDB) is missing: {remedy}")
    found = read_texts(place)
    texts = [text.strip() for text in found.x]
    tests = [row >= len(texts) - found.test for row in range(len(texts))]
    sums = {key: [0, 0] for key in IMDB_CHECKSUMS}
    for text, test, label in zip(texts, tests, found.y.tolist(), strict=True):
        entry = sums.setdefault((test, label), [0, 0])
        entry[0] += 1
        entry[1] += zlib.crc32(text.encode())
    for (test, label), (count, checksum) in IMDB_CHECKSUMS.items():
        got = sums[test, label]
        if tuple(got) != (count, checksum):
            part, kind = "test" if test else "train", ("negative", "positive")[label]
            raise DataError(
                f"{place} should hold the {count:,} {kind} reviews of IMDB's {part} part, and holds {got[0]:,}"
                + ("" if got[0] != count else " of which some are changed")
                + f"; {remedy}, or read your own with load('PATH')"
            )
    clean = [text.replace("<br />", " ") for text in texts]  # what is left of the web page
    return Examples(clean, found.y, ("neg", "pos"), test=found.test)
