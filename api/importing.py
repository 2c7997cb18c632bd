"""The commands that bring data in: `safetymap import` and `safetymap demo`."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.engine import Connection

from api.console import app, out, plain_errors, visible
from gis import db, loading, preflight
from gis.errors import BadInput
from gis.importing import describing, mapping, proposing, sandbox
from gis.importing.job import Options, Outcome, rules
from gis.importing.kinds import KINDS
from gis.importing.refusals import is_ours
from gis.importing.run import run
from gis.importing.source import ReadOptions, Source
from gis.migrate import migrate
from gis.settings import settings
from gis.whole_files import whole

_PLAIN_EVERY = 500_000
_SHOWN_REASONS = 12
_SHOWN_VALUES = 40


@contextmanager
def _transaction(*, commit: bool) -> Iterator[Connection]:
    """A transaction on the migrated store that is rolled back unless `commit`."""
    preflight.check(db.work_engine())
    with db.work_engine().begin() as conn:
        migrate(conn)
    with db.work_engine().connect() as conn, conn.begin() as transaction:
        yield conn
        if not commit:
            transaction.rollback()


@contextmanager
def _telling() -> Iterator[loading.Telling]:
    """Progress per source: a bar on a terminal, plain lines otherwise."""
    if not out.is_terminal:
        yield _plain_lines
        return
    told = TextColumn("{task.description}", markup=False)
    columns = (told, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out) as progress:

        def bar(kind: str, source: Source) -> Callable[[int], None]:
            task = progress.add_task(visible(f"{kind} {source.name}"), total=source.total)
            return lambda rows: progress.update(task, completed=rows)

        yield bar


def _plain_lines(kind: str, source: Source) -> Callable[[int], None]:
    told = 0
    out.print(f"{kind}: reading {source.name}", highlight=False)

    def tell(rows: int) -> None:
        nonlocal told
        if rows - told >= _PLAIN_EVERY:
            told = rows
            out.print(f"{kind}: {rows} rows", highlight=False)

    return tell


def _table(outcomes: list[Outcome]) -> list[str]:
    """Return one line per file under a head, aligned; it is not cut to a terminal's width."""
    counts = ("rows", "accepted", "refused", "inserted", "updated", "unchanged", "kept")
    lines = [["kind", "file", *counts]]
    lines += [
        [one.kind, visible(one.file), *(str(getattr(one, name)) for name in counts)] for one in outcomes
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _tell(outcomes: list[Outcome]) -> None:
    for line in _table(outcomes):
        out.print(line, soft_wrap=True, highlight=False)
    for one in outcomes:
        for note in one.notes:
            out.print(f"{one.file}: {note}", soft_wrap=True, highlight=False)
        if one.refused_file is None:
            continue
        out.print(f"{one.file}: refused rows are in {one.refused_file}", soft_wrap=True, highlight=False)
        commonest = sorted(one.reasons.items(), key=lambda item: -item[1])
        for (field, reason), count in commonest[:_SHOWN_REASONS]:
            out.print(f"  {count} × {field}: {reason}", soft_wrap=True, highlight=False)
            if told := _values(one.values[field, reason]):
                out.print(f"    {told}", soft_wrap=True, highlight=False)
        if (more := len(commonest) - _SHOWN_REASONS) > 0:
            out.print(f"  and {more} rarer reasons, each in that file", highlight=False)


def _values(counted: Counter[str]) -> str:
    """Return the values of a reason with their counts, commonest first; nothing where none comes twice."""
    if max(counted.values()) < 2 and len(counted) > 1:
        return ""
    shown = [f"{value or '(empty)'} × {count}" for value, count in counted.most_common(_SHOWN_VALUES)]
    more = len(counted) - _SHOWN_VALUES
    return ", ".join(shown) + (f" and {more} rarer ones" if more > 0 else "")


@app.command("import")
@plain_errors
def import_(
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS))],
    file: Annotated[
        Path | None, typer.Argument(help="Anything that pyogrio or pyarrow reads, CSV, xlsx.")
    ] = None,
    mapping_name: Annotated[
        str | None, typer.Option("--mapping", help="Ready mapping, or a TOML file.")
    ] = None,
    datum: Annotated[str | None, typer.Option(help="wgs84, gcj02, bd09 or cgcs2000.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer, sheet or archive's file, of several.")] = None,
    origin: Annotated[
        str | None, typer.Option(help="Name of the source system; default the mapping's.")
    ] = None,
    refused: Annotated[Path | None, typer.Option(help="Where refused rows go (CSV).")] = None,
    *,
    encoding: Annotated[str | None, typer.Option(help="Of texts: utf-8, gb18030, windows-1252 …")] = None,
    crs: Annotated[str | None, typer.Option(help="Coordinate system: EPSG:4547 …")] = None,
    header_row: Annotated[int | None, typer.Option(help="Line or row of the headings, from 1.")] = None,
    commit: Annotated[bool, typer.Option("--commit", help="Keep the result; else a dry run.")] = False,
    accept_faults: Annotated[bool, typer.Option("--accept-faults", help="Import grids with faults.")] = False,
    dissolve: Annotated[
        list[str] | None,
        typer.Option(help="Grids: make the levels above by this column (parent_code …), highest first."),
    ] = None,
    end: Annotated[
        bool, typer.Option("--end", help="Grids: end each with its valid_to, whatever is known behind it.")
    ] = False,
    fields: Annotated[
        bool, typer.Option("--fields", help="Tell the fields of the kind, and read no file.")
    ] = False,
    proposal: Annotated[
        Path | None,
        typer.Option("--propose-mapping", help="Write a mapping to correct; import nothing."),
    ] = None,
    accept_ballpark: Annotated[
        bool, typer.Option("--accept-ballpark", help="Accept a datum shift of unknown accuracy.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Repair invalid areas, and tell how.")] = False,
) -> None:
    """Import a file. Without --commit nothing is kept, but every count is true."""
    if kind not in KINDS:
        raise BadInput("KIND", f"{kind!r} is unknown; use one of {', '.join(KINDS)}")
    if fields:
        out.lines(describing.plain(KINDS[kind]))
        return
    if file is None:
        raise BadInput("FILE", "is missing; give the file to import, or say --fields")
    if refused is not None:
        _check_free(refused, file)
    chosen = mapping.load(mapping_name, kind) if mapping_name else None
    said = ReadOptions(layer=layer, encoding=encoding, crs=crs, header_row=header_row)
    source = sandbox.read(file, chosen.reading(said) if chosen else said)
    if proposal is not None:
        _propose(kind, source, said, proposal)
        return
    with _transaction(commit=commit) as conn, _telling() as telling:
        options = Options(
            mapping=chosen, datum=datum, origin=origin, refused=refused, accept_faults=accept_faults,
            accept_ballpark=accept_ballpark, repair=repair, dissolve=tuple(dissolve or ()), end=end,
            progress=telling(kind, source),
        )  # fmt: skip
        result = run(conn, kind, source, options)
    _tell([result])
    how = "chosen with --mapping" if mapping_name else "chosen by the columns"
    if mapping_name in mapping.names() and Path(mapping_name).is_file():
        how += f"; a ready one, the file of that name is ./{mapping_name}"
    out.print(f"mapping {result.mapping} ({how}), datum {result.datum}", highlight=False)
    if result.rows and not result.accepted:
        raise BadInput(str(file), "every row was refused; correct what is named above and import again")
    out.print("imported" if commit else "dry run: nothing was kept; say --commit to import", highlight=False)


def _check_free(refused: Path, source: Path) -> None:
    """Let refused rows go where nothing or other refused rows are. Raises BadInput naming the option."""
    if not refused.exists() or not (refused.is_file() or refused.is_dir()):
        return
    if refused.is_dir() or not is_ours(refused):
        raise BadInput("--refused", f"{refused} is there already and holds no refused rows; name a new file")
    if source.exists() and refused.samefile(source):
        raise BadInput("--refused", f"{refused} is the file that is read; name another one")


def _propose(kind: str, source: Source, said: ReadOptions, file: Path) -> None:
    """Write a mapping for a source into a new file."""
    if file.exists():
        raise BadInput("--propose-mapping", f"{file} is there already; name a new file")
    with _transaction(commit=False) as conn:
        text = proposing.propose(KINDS[kind], source, rules(conn, mapping.plain(kind)), said)
    with whole(file, "--propose-mapping") as part:
        part.write_text(text, encoding="utf-8")
    out.print(
        f"a mapping is proposed in {file}: check it, then import with --mapping {file}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip


@app.command()
@plain_errors
def demo(
    city: Annotated[str | None, typer.Argument(help="zhuzhou or chicago; SAFETYMAP_CITY.")] = None,
    folder: Annotated[Path | None, typer.Argument(help="Chicago's folder of Parquet files.")] = None,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Delete whatever the database holds.")] = False,
) -> None:
    """Load a demo city in place of another demo; a second call changes nothing."""
    name = city or settings().city
    if name not in ("zhuzhou", "chicago"):
        raise BadInput("CITY", f"{name!r} is unknown; use zhuzhou or chicago")
    wanted = loading.CHICAGO if name == "chicago" else loading.zhuzhou_city(settings().size)
    with _transaction(commit=True) as conn:
        if loading.is_loaded(conn, wanted) and not replace:
            out.print(f"{wanted.name_en} ({wanted.size}) is loaded already", highlight=False)
            return
        loading.make_room(conn, overwrite=replace)
        _load_demo(conn, name, folder, overwrite=replace)
    out.print(f"{wanted.name_zh} {wanted.name_en} ({wanted.size}) loaded", highlight=False)


def _load_demo(conn: Connection, name: str, folder: Path | None, *, overwrite: bool) -> None:
    if name == "chicago":
        made, parts = loading.chicago(folder or settings().realdata / "chicago")
    else:
        out.print("making the city", highlight=False)
        made, parts = loading.zhuzhou(settings().size)
    with _telling() as telling:
        outcomes = loading.load(conn, made, parts, overwrite=overwrite, telling=telling)
    _tell(outcomes)
