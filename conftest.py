"""The pages are tests, too: tests/pages/plugin.py collects their blocks."""

pytest_plugins = ["tests.pages.plugin"]
