# SPDX-License-Identifier: Apache-2.0
"""Finds the function that makes a model by what a person writes: ``package.module:function``."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from submeter.errors import UsageError


def load_builder(text: str) -> Callable[..., Any]:
    """Give what *text* names.

    Parameters
    ----------
    text
        ``package.module:name`` or ``folder/file.py:name``; *name* may have dots. Modules are
        also looked for in the working folder, as ``python -m`` does.

    Raises
    ------
    UsageError
        If the text has another form, the module is not found or fails, or has no such function.
    """
    module_name, colon, attribute = text.rpartition(":")
    if not (colon and module_name and attribute):
        raise UsageError(
            f"{text!r} does not name a function that makes a model",
            remedy="write package.module:function, for instance mymodel:build_model",
        )
    found: Any = imported(module_name)
    for index, part in enumerate(attribute.split(".")):
        if not hasattr(found, part):
            owner = ".".join([module_name, *attribute.split(".")[:index]])
            raise UsageError(f"{owner} has no {part!r}", remedy=near(found, part))
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(
            f"{text} is a {type(found).__name__}, which cannot be called to make a model",
            remedy="name a function without arguments that returns the model, or its class",
        )
    result: Callable[..., Any] = found
    return result


def imported(name: str) -> ModuleType:
    """Import a module by its name, or a file by its path."""
    try:
        if name.endswith(".py"):
            return from_file(Path(name))
        folder = os.getcwd()  # noqa: PTH109  # sys.path holds strings
        if folder not in sys.path:
            sys.path.insert(0, folder)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        ours = error.name is not None and (name == error.name or name.startswith(f"{error.name}."))
        said = f"no module named {name!r} was found"
        raise UsageError(
            said if ours else f"{name} needs {error.name!r}, which is not installed",
            remedy=(
                "check the spelling, and run this in the folder that holds it"
                if ours
                else f"install {error.name}"
            ),
        ) from error
    except UsageError:
        raise
    except SystemExit as error:
        raise UsageError(
            f"importing {name} ended the program",
            remedy="put what runs at once under if __name__ == '__main__':",
        ) from error
    except Exception as error:
        lines = str(error).strip().splitlines() or ["no message"]
        raise UsageError(
            f"importing {name} failed: {type(error).__name__}: {lines[0]}",
            remedy=f"make `python -c 'import {Path(name).stem}'` work first",
        ) from error


def from_file(path: Path) -> ModuleType:
    """Import a file that need not be on the path."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", remedy="check the path")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file", remedy="name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # so that what it defines can be copied
    folder = str(path.parent.resolve())
    if folder not in sys.path:  # as `python file.py` has it
        sys.path.insert(0, folder)
    spec.loader.exec_module(module)
    return module


def near(module: Any, name: str) -> str:
    """Say what it does have that can be called."""
    import difflib

    public = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]
    close = difflib.get_close_matches(name, public, n=3) or public[:5]
    return f"it has {', '.join(close)}" if close else "define a function that returns the model"
