"""Configuration files in TOML: read with every key checked, written with what each setting means."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlguide.config._values import near
from dlguide.config.fields import Config, ConfigError, settings


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    r"""Read the settings that a file gives; `Config(**{**recipe(model, data), **read_config(path)})` adds the others.

    Args:
        path: a file in TOML whose keys are names of settings; `"none"` is no value, `[options]` a table.

    Returns:
        The settings by their names, checked one by one.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: it is not TOML, or a key or a value is not one of a setting.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        from dlguide.config import read_config

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "mine.toml")
            path.write_text('model = "mlp"\nclip = "none"\n\n[options]\nhidden = [256, 64]\n')
            print(read_config(path))
        ```

        ``` {.text .output}
        {'model': 'mlp', 'clip': None, 'options': {'hidden': [256, 64]}}
        ```

    References:
        - [TOML](https://toml.io/en/v1.0.0)
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist: expected a configuration file in TOML")
    try:
        given = tomllib.loads(Path(path).read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    known = {setting.name: setting for setting in settings()}
    read = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{path}: there is no setting {name!r}{near(name, known)}")
        try:
            read[name] = known[name].check(value)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    return read


def to_toml(config: Config) -> str:
    r"""Write a configuration as a file that `read_config` reads, each setting with what it means.

    Args:
        config: any configuration.

    Returns:
        The text of the file.

    Example:
        ```python
        from dlguide.config import Config, to_toml

        print("\n".join(to_toml(Config()).splitlines()[:3]))
        ```

        ``` {.text .output}
        # which model is trained, a name of `dlguide.models.MODELS`
        model = "cnn"

        ```
    """
    return "\n".join(_lines(config))


def _lines(config: Config) -> Iterator[str]:
    for setting in settings():
        if setting.kind != "dict":
            yield f"# {setting.help}" + (f"; {setting.expected}" if setting.within or setting.choices else "")
            yield f"{setting.name} = {_value(getattr(config, setting.name))}\n"
    for setting in settings():  # tables stand at the end: what follows the head of a table belongs to it
        if setting.kind == "dict":
            yield f"# {setting.help}\n[{setting.name}]"
            yield from (f"{json.dumps(key)} = {_value(value)}" for key, value in getattr(config, setting.name).items())
    yield ""


def _value(value: Any) -> str:
    """A value in TOML; its strings, numbers and lists are written as JSON writes them."""
    if value is None:
        return '"none"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
