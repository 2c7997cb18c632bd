"""What every command shares: the application they register with, the two consoles, failures in one line."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import psycopg
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
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves the cursor, colours, breaks or turns lines, and halves of signs."""


def visible(text: str) -> str:
    """Return a text in one line, its control characters escaped: no cell tears a line or fakes one."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


class LineConsole(Console):
    """A console that prints each text as one line; what is printed may hold whatever a file holds."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts with their control characters escaped."""
        super().print(*(visible(one) if isinstance(one, str) else one for one in objects), **options)

    def lines(self, text: str) -> None:
        """Print a text of our own line by line, none of them cut."""
        for line in text.split("\n"):
            self.print(line, soft_wrap=True, highlight=False)


# Names of files and mappings may hold brackets, which are no markup.
out = LineConsole(markup=False)
err = LineConsole(stderr=True, markup=False)

P = ParamSpec("P")
R = TypeVar("R")


def _variables(error: ValidationError) -> str:
    return "; ".join(f"SAFETYMAP_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())


_LACKS = {
    "53100": "its disk is full; make room on it and try again, nothing half done is kept",
    "53200": "it has no memory left; try again when less is under way, nothing half done is kept",
    "53300": "it has no connection left; try again when less is under way, nothing half done is kept",
    "57014": "this took longer than it may; try again when less is under way, nothing half done is kept",
}
"""What PostgreSQL's codes of errors mean to an operator (its appendix A)."""


def _of_database(error: BaseException | None) -> str:
    """Return what the database lacks, as a message."""
    lack = _LACKS.get(getattr(error, "sqlstate", None) or "")
    # Whoever is turned away before a session begins is told in words alone.
    if any(words in str(error) for words in ("too many clients", "remaining connection slots")):
        lack = _LACKS["53300"]
    if lack is not None:
        return f"the database: {lack}"
    return f"the database does not answer: {_first_line(error)}; try safetymap db up"


_OTHER_STORE = ("42P01", "42703", "42883", "42501")
"""A table, column or function that is not there, or is not ours: PostgreSQL's codes."""


def _first_line(error: BaseException | None) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


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
        except (sa.exc.OperationalError, psycopg.OperationalError) as error:
            message = _of_database(getattr(error, "orig", error))
        except sa.exc.ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) not in _OTHER_STORE:
                raise
            message = (
                f"the database has no store of this program: {_first_line(error.orig)}; run safetymap db up"
            )
        except OSError as error:
            message = f"{error.filename or 'the system'}: {error.strerror or error}; choose another place"
        err.print(Text.assemble(("error:", "red"), f" {visible(message)}"), soft_wrap=True, highlight=False)
        raise typer.Exit(1)

    return run
