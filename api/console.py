"""What every command shares: the application they register with, the two consoles, failures in one line."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import sqlalchemy as sa
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from gis.errors import Problem

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False,
    help="The `safetymap` command: the database, imports, demo cities, derived layers and the service.",
)  # fmt: skip
# Names of files and mappings may hold brackets, which are no markup.
out = Console(markup=False)
err = Console(stderr=True, markup=False)

P = ParamSpec("P")
R = TypeVar("R")


def _variables(error: ValidationError) -> str:
    return "; ".join(f"SAFETYMAP_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Say every foreseen failure in one line that tells what to do, and leave with status 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Problem as problem:
            message = str(problem)
        except ValidationError as error:
            message = _variables(error)
        except sa.exc.OperationalError as error:
            message = f"the database does not answer: {str(error.orig).splitlines()[0]}; try safetymap db up"
        except OSError as error:
            message = f"{error.filename or 'the system'}: {error.strerror or error}; choose another place"
        err.print(Text.assemble(("error:", "red"), f" {message}"), soft_wrap=True, highlight=False)
        raise typer.Exit(1)

    return run
