"""What a database lacks is told to an operator in one line, and never as a trace."""

import psycopg
import pytest
import sqlalchemy as sa
import typer
from psycopg import errors

from api import console

LACKS = [
    (errors.DiskFull("could not extend file"), "disk is full"),
    (errors.TooManyConnections("remaining connection slots are reserved"), "no connection left"),
    (psycopg.OperationalError("FATAL: sorry, too many clients already"), "no connection left"),
    (errors.OutOfMemory("out of memory"), "no memory left"),
    (errors.QueryCanceled("canceling statement due to statement timeout"), "took longer than it may"),
    (
        psycopg.OperationalError("connection refused\nIs it running?"),
        "does not answer: connection refused; try",
    ),
]


@pytest.mark.parametrize("through_sqlalchemy", [True, False])
@pytest.mark.parametrize(("error", "told"), LACKS)
def test_what_a_database_lacks_is_one_line(
    capsys: pytest.CaptureFixture[str], error: psycopg.Error, told: str, *, through_sqlalchemy: bool
) -> None:
    def fail() -> None:
        raise sa.exc.OperationalError("COPY", {}, error) if through_sqlalchemy else error

    with pytest.raises(typer.Exit) as ended:
        console.plain_errors(fail)()
    assert ended.value.exit_code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert told in lines[0]
