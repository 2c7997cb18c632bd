"""Every setting as the operator's guide lists it: variable, what it is unset, what it does."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from gis.settings import ROOT, Settings


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield each setting's variable, its value where it is unset, and what it does, in their order."""
    for name, field in Settings.model_fields.items():
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        unset = _written(field.default)
        told = " ".join((field.description or "").split())
        one_of = f" One of {', '.join(f'`{one}`' for one in choices)}." if choices else ""
        yield f"SAFETYMAP_{name.upper()}", unset, f"{told}{one_of}"


def _written(value: object) -> str:
    """Return a default as one writes it into the environment; paths from the project's folder."""
    if value is None or value == "":
        return "–"
    if isinstance(value, Path):
        return f"`{os.path.relpath(value, ROOT)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def markdown() -> str:
    """Return the table of the guide."""
    lines = ["| variable | unset | what |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {unset} | {what} |" for name, unset, what in rows())])
