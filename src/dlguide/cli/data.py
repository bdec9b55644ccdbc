"""`dlguide data`: which data there are, where they lie, and whether they are whole."""

from __future__ import annotations

from typing import Any

import click

from dlguide.cli import options
from dlguide.cli.group import Failure
from dlguide.config import DATA, Config


@click.group("data", short_help="List, find and check data.")
def command() -> None:
    r"""List the data sets, say where they lie, and check them or your own.

    \b
    Examples:
      dlguide data list
      dlguide data check digits
      dlguide data check my-pictures/ --size 64
    """


@command.command("list")
@options.json_option
def list_(as_json: bool) -> None:
    """List the data sets: what they are, and whether they are here."""
    from dlguide.data import DATASETS

    facts = {name: {"kind": d.kind, "what": d.what, "sizes": d.sizes, "source": d.source, "get": d.get,
                    "here": _is_here(name)} for name, d in DATASETS.items()}  # fmt: skip
    rows = [[name, "here" if f["here"] else "-", str(f["sizes"]), str(f["what"])] for name, f in facts.items()]
    missing = [_how(name, str(f["get"])) for name, f in facts.items() if not f["here"]]
    options.print_facts(facts, as_json, "\n".join([options.table(rows), *(["", *missing] if missing else [])]))


@command.command("where")
@options.json_option
def where(as_json: bool) -> None:
    """Say in which folder data sets are looked for, and which are there."""
    from dlguide.data import DATASETS, data_folder, find

    folder = data_folder()
    places = {name: find(name) for name in DATASETS if name not in _OWN}
    found = {name: str(path) if path else None for name, path in places.items()}
    rows = [[name, path or "not there"] for name, path in found.items()]
    facts = {"folder": str(folder), "exists": folder.is_dir(), "sets": found}
    line = f"{folder}" + ("" if folder.is_dir() else " (does not exist)")
    options.print_facts(facts, as_json, f"{line}; the variable DLGUIDE_DATA chooses another\n{options.table(rows)}")


@command.command("check")
@click.argument("data", nargs=-1, shell_complete=options.complete(DATA))
@click.option("--download", is_flag=True, help="Let torchvision fetch the set first; this needs a network.")
@options.setting_options("size", "max_length", "max_words", "unit")
@options.json_option
def check(data: tuple[str, ...], download: bool, as_json: bool, **flags: Any) -> None:
    """Read DATA as a run would, names or paths, all sets that are here if none is given.

    Each file is checked against its published checksum where there is one.
    """
    from dlguide.data import DATASETS

    names = data or tuple(name for name in DATASETS if _is_here(name))
    facts, broken = [], []
    for name in names:
        config = options.check_names(Config(data=name, **options.given(flags)))
        try:
            facts.append(_measure(config, download))
        except (ValueError, OSError, RuntimeError) as error:
            broken.append(f"{name}: {error}")
    if facts or as_json:
        options.print_facts(facts, as_json, "\n".join(map(_line, facts)))  # type: ignore[arg-type]
    if broken:
        raise Failure("; ".join(broken))


_OWN = ("digits", "reviews")  # what needs no files


def _is_here(name: str) -> bool:
    from dlguide.data import find

    return name in _OWN or find(name) is not None


def _how(name: str, get: str) -> str:
    return f"{name}: " + (f"dlguide data check {name} --download" if get.startswith("load(") else get)


def _measure(config: Config, download: bool) -> dict[str, Any]:
    from dlguide.data import load

    splits = load(config.data, size=config.size, standardize=True, max_length=config.max_length,
                  max_words=config.max_words, unit=config.unit, download=download)  # fmt: skip
    x, y = splits.train.tensors[0], splits.train.tensors[-1]
    facts = {
        "data": config.data,
        "sizes": {part: len(getattr(splits, part)) for part in ("train", "validation", "test")},
        "classes": list(splits.classes),
        "largest_class": round(y.bincount().max().item() / len(y), 4),
        "shape": list(x.shape[1:]),
    }
    if splits.vocabulary is not None:
        return {**facts, "vocabulary": len(splits.vocabulary), "longest": int(splits.train.tensors[1].max())}
    return {**facts, "mean": splits.mean, "std": splits.std}


def _line(facts: dict[str, Any]) -> str:
    sizes = " + ".join(f"{size:,} {part}" for part, size in facts["sizes"].items())
    names = ", ".join(facts["classes"][:10]) + (", …" if len(facts["classes"]) > 10 else "")
    more = (
        f"vocabulary {facts['vocabulary']:,}, longest text {facts['longest']}"
        if "vocabulary" in facts
        else f"mean {_short(facts['mean'])}, std {_short(facts['std'])}"
    )
    return (
        f"{facts['data']}: {sizes}; {len(facts['classes'])} classes ({names}), the largest one"
        f" {facts['largest_class']:.1%}; shape {facts['shape']}; {more}"
    )


def _short(value: Any) -> str:
    return " ".join(f"{v:.4f}" for v in (value if isinstance(value, tuple) else (value,)))
