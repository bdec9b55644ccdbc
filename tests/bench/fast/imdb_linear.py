"""IMDB by logistic regression on counts of 1-, 2- and 3-grams, weighted by how much more often a class has them.

Wang and Manning 2012, Baselines and Bigrams (https://aclanthology.org/P12-2018): the weight of an n-gram is the
logarithm of the ratio of its shares in the two classes.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from dlguide.data import data_folder


def read(part: str, limit: int) -> tuple[list[str], np.ndarray]:
    with lzma.open(data_folder() / f"imdb/{part}.jsonl.xz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = rows[:: max(1, len(rows) // limit)]
    return [row["text"] for row in rows], np.array([row["label"] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=25_000, help="use only so many examples")
    options = parser.parse_args()
    (texts, y), (test_texts, test_y) = read("train", options.limit), read("test", options.limit)
    start = time.perf_counter()
    words = r"[\w']+|[^\w\s]"
    counter = CountVectorizer(ngram_range=(1, 3), min_df=2, binary=True, token_pattern=words, dtype=np.float32)
    x = counter.fit_transform(texts)
    shares = [(x[y == label].sum(0) + 1) / (x[y == label].sum() + 1) for label in (1, 0)]
    weight = np.log(np.asarray(shares[0] / shares[1]))
    classifier = LogisticRegression(C=2.0, solver="liblinear", dual=True, random_state=options.seed)
    classifier.fit(x.multiply(weight).tocsr(), y)
    seconds = time.perf_counter() - start
    right = classifier.predict(counter.transform(test_texts).multiply(weight).tocsr()) == test_y
    print(json.dumps({"accuracy": float(right.mean()), "seconds": seconds}))


if __name__ == "__main__":
    main()
