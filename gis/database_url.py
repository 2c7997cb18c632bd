"""The address of a database of one's own, as people write it: a URL or libpq's keywords."""

from contextlib import suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from gis.errors import BadInput

_DRIVER = "postgresql+psycopg"
_SCHEMES = ("postgres", "postgresql", _DRIVER)
_FORM = "write postgresql://user:password@host:5432/database, or libpq's keywords: host=… dbname=… user=…"
_SPECIAL = "@ : / ? # % and spaces in a user's name or password are written in percent codes, @ as %40"


def read(text: str, variable: str) -> URL:
    """Return the address that a setting holds.

    libpq's keywords (`host=… dbname=…`) and lists of hosts are taken as libpq takes them (PostgreSQL 15,
    34.1.1). Raises BadInput naming the variable; the text is not repeated, it may hold a password.
    """
    scheme, mark, _ = text.strip().partition("://")
    if mark and scheme not in _SCHEMES:
        raise BadInput(variable, f"{scheme}:// is no PostgreSQL; {_FORM}")
    return _of_url(text.strip(), variable) if mark else _of_keywords(text, variable)


def _of_url(text: str, variable: str) -> URL:
    with suppress(ArgumentError, ValueError):  # a list of hosts is none that SQLAlchemy reads
        url = make_url(text).set(drivername=_DRIVER)
        if set(url.host or "") & set("@/?# "):
            raise BadInput(variable, f"its host would be what stands behind the first @; {_SPECIAL}")
        return url
    return _of_keywords(text.replace(f"{_DRIVER}://", "postgresql://", 1), variable)


def _of_keywords(text: str, variable: str) -> URL:
    try:
        words = {name: str(value) for name, value in conninfo_to_dict(text).items() if value}
    except psycopg.ProgrammingError as error:
        raise BadInput(variable, f"cannot be read; {_FORM}; {_SPECIAL}") from error
    if not words:
        raise BadInput(variable, f"names no database; {_FORM}")
    return URL.create(
        _DRIVER,
        username=words.pop("user", None),
        password=words.pop("password", None),
        database=words.pop("dbname", None),
        query=words,
    )
