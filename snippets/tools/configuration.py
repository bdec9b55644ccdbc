"""Every setting of a run: its default, its range, its file."""

# --8<-- [start:config]
from dlguide.config import Config, ConfigError, recipe, settings

print("default:", Config().lr, Config().clip, Config().test)
config = Config(model="rnn", data="digits", **recipe("rnn", "digits"))
print("recipe: ", config.lr, config.clip, config.test)
print(len(settings()), "settings")
# --8<-- [end:config]

# --8<-- [start:errors]
for wrong in ({"lr": 0}, {"epochs": 2.5}, {"precision": "bf61"}, {"momentum": 0.9}):
    try:
        Config(**wrong)
    except ConfigError as error:
        print(error)
# --8<-- [end:errors]

# --8<-- [start:file]
import tempfile
from pathlib import Path

from dlguide.config import read_config, to_toml

text = to_toml(config)
print("\n".join(text.splitlines()[-11:]))
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "config.toml")
    path.write_text(text)
    print("read back:", Config(**read_config(path)) == config)
# --8<-- [end:file]

# --8<-- [start:key]
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "mine.toml")
    path.write_text('model = "cnn"\nepoch = 3\n')
    try:
        read_config(path)
    except ConfigError as error:
        print(str(error).replace(folder, "FOLDER"))
# --8<-- [end:key]

# --8<-- [start:recipes]
for model in ("mlp", "cnn", "rnn", "bag"):
    print(f"{model:4}", recipe(model, "digits"))
# --8<-- [end:recipes]
