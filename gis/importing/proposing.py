"""A first mapping for a file that no ready one fits: proposed from headings and contents, with evidence."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing import parsing, times
from gis.importing.coordinates import degrees
from gis.importing.kinds import Field, Kind
from gis.importing.mapping import heading, ready
from gis.importing.parsing import Rules, as_text, mask
from gis.importing.shapes import read_shape
from gis.importing.source import ReadOptions, Source

_SHOWN = 60
"""Values of one field that are listed, the commonest first."""
_ORDERS = (
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M", "%d/%m/%Y", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d-%m-%Y %H:%M",
    "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%Y %I:%M %p", "%d/%m/%Y %I:%M %p", "%d-%b-%Y %H:%M:%S", "%d-%b-%Y %H:%M",
    "%d-%b-%Y", "%d-%b-%y %I.%M.%S %p",
)  # fmt: skip
_GUESSES = {
    ("incidents", "category"): "other", ("incidents", "source"): "hotline", ("incidents", "colour"): "blue",
    ("incidents", "state"): "closed", ("roads", "class"): "residential", ("areas", "kind"): "other",
    ("responders", "kind"): "crew", ("responders", "status"): "available", ("places", "kind"): "place",
    ("grids", "scheme"): "safety", ("grids", "level"): 1,
}  # fmt: skip
_MOSTLY = 0.5
"""Share of the values under a heading of coordinates that must be such for it to be believed."""
_TIMES = re.compile(r"dat[aeu]|time|fecha|hora|tijd|zeit|дата|日期|时间|日時|일시|날짜", re.IGNORECASE)
_PLACE = {"lon": (-180.0, 180.0), "lat": (-90.0, 90.0)}


AS_IT_SAYS = ReadOptions()


@dataclass
class Draft:
    """A proposal under way: lines of the section, then tables below it."""

    kind: Kind
    rules: Rules
    table: pa.Table
    total: int
    read_as: list[str] = field(default_factory=list)
    top: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    defaults: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)


def propose(kind: Kind, source: Source, rules: Rules, said: ReadOptions = AS_IT_SAYS) -> str:
    """Return a mapping file (TOML) for a source: loads as it is, and says above each line why.

    `said`: how the file was to be read, which the mapping repeats. Only the first chunk of rows is looked at;
    the file says how many those are.
    """
    table = next((chunk.table for chunk in source.chunks() if len(chunk)), pa.table({}))
    draft = Draft(kind, rules, table, table.num_rows, _read_as(said))
    if kind.shape is not None and not source.has_geometry:
        _place(draft)
    for one in kind.fields:
        _field(draft, one)
    return _written(draft, source)


def _words(kind: Kind, name: str) -> list[str]:
    """Return the headings that ready mappings know for a field, our own name first."""
    found: list[str] = [name]
    for sections in ready().values():
        if kind.name in sections:
            of = sections[kind.name]
            named = getattr(of, name) if name in (*_PLACE, "geometry") else of.columns.get(name)
            found += [named] if isinstance(named, str) else (named or [])
    return found


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", heading(name))


def _column(draft: Draft, name: str) -> tuple[str, str] | None:
    """Return the free column whose heading means a field, and the word that says so."""
    free = {
        _bare(column): column for column in reversed(draft.table.column_names) if column not in draft.taken
    }
    for word in _words(draft.kind, name):
        if (bare := _bare(word)) in free:
            return free[bare], f"the heading is one of those known for {name}"
    return None


def _place(draft: Draft) -> None:
    """Propose the columns of coordinates whose contents are such; without them, the column of shapes."""
    named = {name: found[0] for name in _PLACE if (found := _column(draft, name))}
    decimal = next((one for one in ".," if all(_within(draft, *of, one) for of in named.items())), ".")
    there = {name: column for name, column in named.items() if _within(draft, name, column, decimal)}
    for name, column in there.items():
        draft.taken.add(column)
        told = f"# the heading is one of those known for {name}; {_span(draft, name, column, decimal)}"
        draft.top += [told, f"{name} = {_q(column)}"]
    if there and decimal == ",":
        draft.top += ["# numbers have a comma before their fraction", 'decimal = ","']
    if not there and (shapes := _shapes(draft)):
        draft.taken.add(shapes)
        draft.top += [
            f"# its values are shapes; {_evidence(draft.table[shapes])}",
            f"geometry = {_q(shapes)}",
        ]


def _shapes(draft: Draft) -> str | None:
    """Return the column most of whose values, as far as they are looked at, are shapes (WKT or WKB)."""
    return next((name for name in draft.table.column_names if _holds_shapes(draft.table[name])), None)


def _holds_shapes(column: pa.ChunkedArray) -> bool:
    values = pc.drop_null(_one(column))[:_SHOWN]
    read = [read_shape(value) is not None for value in values]
    return bool(read) and sum(read) >= _MOSTLY * len(read)


def _within(draft: Draft, name: str, column: str, decimal: str) -> bool:
    """Tell whether most of what a column holds are degrees of an axis; the rest is refused row by row."""
    values, bad = degrees(_one(draft.table[column]), name, decimal)
    there = values[~np.isnan(values)]
    low, high = _PLACE[name]
    fitting = ((there >= low) & (there <= high)).sum()
    return bool(fitting and fitting >= _MOSTLY * (len(there) + bad.sum()))


def _one(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks == 1 else pa.array(whole)


def _span(draft: Draft, name: str, column: str, decimal: str) -> str:
    values, _ = degrees(_one(draft.table[column]), name, decimal)
    return f"numbers from {np.nanmin(values):.6g} to {np.nanmax(values):.6g}"


def _field(draft: Draft, one: Field) -> None:
    is_identity = one.name == "origin_id" or (one.name == "code" and one.required)
    found = _identity(draft, one.name) if is_identity else _column(draft, one.name)
    if found is None and one.required and one.parse is times.moment:
        found = _moments(draft, one)
    if found is None:
        if one.required:
            _without(draft, one)
        return
    column, why = found
    draft.taken.add(column)
    draft.columns += [f"# {why}; {_evidence(draft.table[column])}", f"{one.name} = {_q(column)}"]
    if one.parse in (times.moment, times.day):
        draft.formats += _time_formats(draft, one, draft.table[column])
    elif one.parse not in (parsing.text, parsing.identifier):
        draft.values += _stubs(draft, one, draft.table[column])
    elif one.parse is parsing.text:
        draft.values += _translated(draft, one, draft.table[column])


def _identity(draft: Draft, name: str) -> tuple[str, str] | None:
    """Return the column that tells rows apart: by heading first, then any whose values are all different."""
    named = _column(draft, name)
    if named and _is_unique(draft, named[0], _BESIDE if name == "code" else ()):
        return named
    for column in draft.table.column_names:
        if column not in draft.taken and _is_unique(draft, column):
            return column, "every row has a value of its own"
    return named


def _moments(draft: Draft, one: Field) -> tuple[str, str] | None:
    """Return the only free column that speaks of times or is typed so; several are named."""
    named = [
        column
        for column in draft.table.column_names
        if column not in draft.taken
        and (_TIMES.search(column) or pa.types.is_temporal(draft.table[column].type))
        and _reads_all(draft, one, column)
    ]
    if len(named) > 1:
        draft.defaults.append(f"# columns that could be {one.name}; choose one: {', '.join(named)}")
    return (named[0], "its heading speaks of a time, and every value is one") if len(named) == 1 else None


def _reads_all(draft: Draft, one: Field, column: str) -> bool:
    texts = as_text(pc.drop_null(_one(draft.table[column])))
    forms = ((), *((form,) for form in _ORDERS))
    return bool(len(texts)) and any(_reads(one, texts, draft.rules, form) for form in forms)


_BESIDE = ("scheme", "valid_from", "valid_to")
"""A grid's code is its own within its scheme and its days, as the import has it."""


def _is_unique(draft: Draft, column: str, beside: Sequence[str] = ()) -> bool:
    """Tell whether every row has a value of its own, or shares it only with rows of other `beside` fields."""
    table = draft.table
    headings = {_bare(name): name for name in reversed(table.column_names)}
    fields = {one.name for one in draft.kind.fields}
    words = [_words(draft.kind, name) for name in beside if name in fields]
    keys = [headings[bare] for of in words for bare in map(_bare, of) if bare in headings]
    texts = [as_text(_one(table[name])).to_pylist() for name in dict.fromkeys((column, *keys))]
    rows = set(zip(*texts, strict=True))
    return table[column].null_count == 0 and 0 < len(table) == len(rows)


def _evidence(column: pa.ChunkedArray) -> str:
    texts = pc.utf8_trim_whitespace(as_text(_one(column)))
    texts = texts.filter(pc.not_equal(texts, ""))
    texts = texts.drop_null()
    seen = ", ".join(json.dumps(text[:30], ensure_ascii=False) for text in pc.unique(texts)[:3].to_pylist())
    return f"{len(texts)} of {len(column)} rows have a value, {len(pc.unique(texts))} different: {seen}"


def _without(draft: Draft, one: Field) -> None:
    guess = _GUESSES.get((draft.kind.name, one.name), "")
    told = "a guess; every row gets it" if guess else "FILL IN: a column above, or one value for every row"
    draft.defaults += [
        f"# no column was found for {one.name}, which is needed: {told}",
        f"{one.name} = {_q(guess)}",
    ]


def _time_formats(draft: Draft, one: Field, column: pa.ChunkedArray) -> list[str]:
    """Return the formats that read every value where the usual ones do not."""
    values = pc.drop_null(_one(column))
    if not len(values) or not one.parse(values, draft.rules).bad.any():
        return []
    texts = as_text(values)
    reads = [form for form in _ORDERS if _reads(one, texts, draft.rules, (form,))]
    if len({form[:2] for form in reads}) > 1:
        return [f"# day or month first? Every {one.name} reads both ways; choose of {', '.join(reads)}"]
    return [_q(form) for form in reads[:1]] or [f"# no known format reads every {one.name}"]


def _reads(one: Field, texts: pa.Array, rules: Rules, forms: tuple[str, ...]) -> bool:
    again = Rules(rules.zone, forms, rules.earliest, rules.latest, rules.categories)
    return not one.parse(texts, again).bad.any()


def _stubs(draft: Draft, one: Field, column: pa.ChunkedArray) -> list[str]:
    """Return lines for the values that we do not take as they are, with how often each occurs."""
    texts = pc.utf8_trim_whitespace(as_text(_one(column)))
    known = {k: v for k, v in _known_values(draft.kind, one.name).items() if _takes_it(one, v, draft)}
    bad = mask(pc.not_equal(texts, "")) & one.parse(texts, draft.rules).bad
    counts = Counter(texts.filter(pa.array(bad)).to_pylist())
    lines = [
        f"# {count} rows\n{_q(word)} = {_q(known[word])}"
        if word in known
        else f"# {count} rows\n# {_q(word)} = "
        for word, count in counts.most_common(_SHOWN)
    ]
    if not lines:
        return []
    more = len(counts) - _SHOWN
    told = [f"# and {more} rarer values, told by a dry run"] if more > 0 else []
    # Not proposed as "": that takes the default, of a datum some other place.
    head = f"# ours for each of theirs; with # before a line its rows are refused. Ours: {_takes(one, draft)}"
    return [f"\n{head}\n[{draft.kind.name}.values.{one.name}]", *lines, *told]


def _translated(draft: Draft, one: Field, column: pa.ChunkedArray) -> list[str]:
    """Return lines for the values of a free text that a ready mapping translates, such as 主干路."""
    there = pc.unique(pc.utf8_trim_whitespace(as_text(_one(column)))).to_pylist()
    known = _known_values(draft.kind, one.name)
    lines = [f"{_q(word)} = {_q(known[word])}" for word in there if word in known]
    return [f"\n[{draft.kind.name}.values.{one.name}]", *lines] if lines else []


def _takes_it(one: Field, word: str, draft: Draft) -> bool:
    return not one.parse(pa.array([word]), draft.rules).bad.any()


def _takes(one: Field, draft: Draft) -> str:
    if one.parse is parsing.category:
        return "a code of the tree of categories: " + ", ".join(
            sorted(set(draft.rules.categories.values()))[:40]
        )
    reason = parsing.same_for_all(one.parse(pa.array([], pa.string()), draft.rules))
    return reason.partition(";")[0].removeprefix("is none of ")


def _known_values(kind: Kind, name: str) -> dict[str, str]:
    known: dict[str, str] = {}
    for sections in ready().values():
        if kind.name in sections:
            known |= {k: str(v) for k, v in sections[kind.name].values.get(name, {}).items()}
    return known


def _q(value: object) -> str:
    """Return a value as TOML: basic strings are those of JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _written(draft: Draft, source: Source) -> str:
    return "\n".join(_lines(draft, source)) + "\n"


def _lines(draft: Draft, source: Source) -> Iterator[str]:
    name = draft.kind.name
    yield f"# Proposed for {source.name} by its headings and first {draft.total} rows: check every line."
    unused = [column for column in draft.table.column_names if column not in draft.taken]
    yield f"# Columns that nothing is taken from: {', '.join(unused) or 'none'}"
    yield f"[{name}]\norigin = {_q(_origin(source))}"
    yield from draft.read_as
    yield from draft.top
    if quoted := [line for line in draft.formats if not line.startswith("#")]:
        yield f"formats = [{', '.join(dict.fromkeys(quoted))}]"
    yield from (line for line in draft.formats if line.startswith("#"))
    yield f"\n[{name}.columns]"
    yield from draft.columns
    if draft.defaults:
        yield f"\n[{name}.defaults]"
        yield from draft.defaults
    yield from draft.values


def _read_as(said: ReadOptions) -> list[str]:
    """Return a line for each thing that was said of how to read the file."""
    return [f"{name} = {_q(value)}" for name, value in asdict(said).items() if value is not None]


def _origin(source: Source) -> str:
    return re.sub(r"[^\w]+", "-", Path(source.name).stem.lower()).strip("-") or "import"
