"""Prints the path of the installed MaxText's configs/base.yml."""
import importlib.util
import pathlib

print(pathlib.Path(importlib.util.find_spec("maxtext").origin).parent / "configs/base.yml")
