"""Flags made from the settings, arguments that several commands take, and how they print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from dlguide.config import DATA, RECIPES, Config, ConfigError, Setting, near, recipe, settings

GROUPS = {"run": "What is trained", "data": "Data", "training": "Training", "machine": "Machine and files"}


class SettingOption(click.Option):
    """A flag for a setting; its value is checked by the setting itself.

    Args:
        setting: which one.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        flag = "--" + setting.name.replace("_", "-")
        more: dict[str, Any]
        if setting.kind == "bool":
            names, more = [f"{flag}/--no-{flag[2:]}"], {"default": None}
        elif setting.kind == "dict":
            names, more = ["--option", setting.name], {"multiple": True, "metavar": "NAME=VALUE"}
        else:
            names, more = [flag], {"metavar": _metavar(setting), "shell_complete": _completion(setting)}
        super().__init__(names, help=f"{setting.help} [default: {shown(setting.default)}]", **more)

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Turn the text of a flag into the value of the setting.

        Args:
            ctx: of click.
            value: the text.
        """
        value = super().type_cast_value(ctx, value)
        if self.setting.kind == "dict":
            return dict(map(option_value, value or ()))
        if value is None:
            return None
        checked = self.setting.check(value)
        return NONE if checked is None else checked


NONE = object()  # a flag said none, which is not the same as no flag


def _metavar(setting: Setting) -> str:
    if setting.choices:
        return "|".join(setting.choices) if len(setting.choices) < 5 else "NAME"
    return {"int": "N", "float": "X", "str": "TEXT"}[setting.kind]


def _completion(setting: Setting) -> Callable[..., list[CompletionItem]] | None:
    words = {"data": DATA, "model": tuple(RECIPES)}.get(setting.name, setting.choices)
    return complete(words) if words else None


def complete(words: Iterable[str]) -> Callable[..., list[CompletionItem]]:
    """Complete words in the shell."""
    return lambda ctx, parameter, start: [CompletionItem(word) for word in words if word.startswith(start)]


def shown(value: Any) -> str:
    """A default as help and tables show it."""
    return {"None": "none", "True": "true", "False": "false", "{}": "none"}.get(str(value), str(value))


def option_value(text: str) -> tuple[str, Any]:
    """Read `hidden=[256,64]` as a name and a value: JSON if it is JSON, else a text."""
    name, equal, value = text.partition("=")
    if not equal or not name.isidentifier():
        raise ConfigError(f"options: expected NAME=VALUE, such as --option hidden_size=128, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def model_argument(required: bool = True) -> Callable[[Any], Any]:
    """The argument MODEL."""
    return click.argument("model", required=required, shell_complete=complete(RECIPES))


run_argument = click.argument("run", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def check_names(config: Config) -> Config:
    """Refuse a model or a data set that does not exist, before PyTorch is imported."""
    if config.model not in RECIPES:
        known = f"; there are {', '.join(RECIPES)}"
        raise ConfigError(f"there is no model {config.model!r}{near(config.model, RECIPES) or known}")
    path = Path(config.data).expanduser()
    if config.data not in DATA and not path.exists() and not (path.suffix or len(path.parts) > 1):
        known = f"; there are {', '.join(DATA)}, or the path of your own"
        raise ConfigError(f"there are no data {config.data!r}{near(config.data, DATA) or known}")
    return config


def configure(*layers: Mapping[str, Any]) -> Config:
    """Make the configuration: defaults, the recipe for model and data, and then each layer over the one before."""
    given = {name: value for layer in layers for name, value in layer.items()}
    model, data = given.get("model", Config.model), given.get("data", Config.data)
    return check_names(Config(**{"model": model, "data": data, **recipe(model, data), **given}))


def print_facts(facts: Mapping[str, Any], as_json: bool, text: str | None = None) -> None:
    """Print what a command found: as JSON, as the text given, or as one line for each."""
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2))
    elif text is not None:
        click.echo(text)
    else:
        click.echo(table([[name, shown(value)] for name, value in facts.items()]))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Write rows under each other; the last column may be of any width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)] if rows else []
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


class GroupedCommand(click.Command):
    """A command whose many flags are shown in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags under the headings of their groups.

        Args:
            ctx: of click.
            formatter: of click.
        """
        sections: dict[str, list[tuple[str, str]]] = {"Command": [], **{title: [] for title in GROUPS.values()}}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                group = GROUPS[parameter.setting.group] if isinstance(parameter, SettingOption) else "Command"
                sections[group].append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def setting_options(*names: str) -> Callable[[Any], Any]:
    """Add the flags of settings, of all but the model if no names are given."""

    def add(function: Any) -> Any:
        chosen = [s for s in settings() if (s.name in names if names else s.name != "model")]
        for setting in reversed(chosen):
            option = SettingOption(setting)
            if hasattr(function, "params"):
                function.params.insert(0, option)
            else:
                function.__click_params__ = [*getattr(function, "__click_params__", []), option]
        return function

    return add


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that flags gave."""
    return {name: None if value is NONE else value for name, value in flags.items() if value not in (None, {}, ())}
