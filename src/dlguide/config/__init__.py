"""Every setting of a run in one frozen dataclass, from which flags, configuration files and their page are made.

A run takes, from the weakest to the strongest: the defaults of `Config`, the `recipe` for this model and these data, a
file in TOML, and the flags of `dlguide train`. The result is written into the run's folder as `config.toml`, which is
a configuration file again. Nothing here needs PyTorch, so `dlguide --help` answers at once.
"""

from dlguide.config._values import near
from dlguide.config.fields import Config, ConfigError, Setting, settings
from dlguide.config.files import read_config, to_toml
from dlguide.config.recipes import DATA, RECIPES, recipe

__all__ = [
    "DATA",
    "RECIPES",
    "Config",
    "ConfigError",
    "Setting",
    "near",
    "read_config",
    "recipe",
    "settings",
    "to_toml",
]
