"""What a cell is where a text is meant: what is seen of a number; dates, booleans and lists are no codes."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing.kinds import Field
from gis.importing.parsing import BY_VALUE, CODES, Bools, as_text, mask, text
from gis.importing.refusals import Sieve
from gis.importing.source import Chunk, one_array

_REASONS = {
    "date": "is a date or a time of day, and none is an id, a code or a name: what was typed is lost; format "
    "the column as text and type it again",
    "boolean": "is TRUE or FALSE, which is no id or code; format the column as text and type it again",
    "number": "is a number whose cell shows something else than its digits; format the column as text",
    "several": "holds several values where one is meant",
}
_SEVERAL = r"^\s*[\[{]"
_LINES = frozenset({"date", "number"})
"""What no line of text is either, where its source is a workbook: what was seen of it is lost."""


def as_seen(chunk: Chunk, field: Field) -> Chunk:
    """Return a chunk whose columns hold what is seen of them, for a field that is not read by its value."""
    if field.parse in BY_VALUE or not chunk.seen:
        return chunk
    table = chunk.table
    for name, seen in chunk.seen.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pc.coalesce(seen, as_text(one_array(table[name]))))
    return replace(chunk, table=table)


def refuse(chunk: Chunk, column: str, field: Field, sieve: Sieve) -> None:
    """Refuse the rows in whose column is what the field cannot be."""
    if field.parse in BY_VALUE:
        return
    values = one_array(chunk.table[column])
    told = [*_REASONS] if field.parse in CODES else [*_LINES] if field.parse is text else []
    for nature in told:
        rows = _marked(chunk, column, nature)
        if field.parse in CODES:
            rows |= _typed(values, nature)
        sieve.refuse(rows, field.name, _REASONS[nature], values)
    if isinstance(values.type, pa.JsonType) and not field.many:
        sieve.refuse(_begins(values, _SEVERAL), field.name, _REASONS["several"], values)


def of_codes(values: pa.Array) -> tuple[Bools, str]:
    """Return which values of a typed column are no codes by what they are, and why one of them is none."""
    is_json = isinstance(values.type, pa.JsonType)
    several = (
        _begins(values, _SEVERAL) if is_json else mask(pc.is_valid(values)) & pa.types.is_nested(values.type)
    )
    found = {nature: _typed(values, nature) for nature in ("date", "boolean")} | {"several": several}
    why = next((nature for nature, rows in found.items() if rows.any()), "several")
    return found["date"] | found["boolean"] | several, _REASONS[why]


def _marked(chunk: Chunk, column: str, nature: str) -> Bools:
    found = chunk.natures.get(column)
    return np.zeros(len(chunk), bool) if found is None else mask(pc.equal(found, nature)).copy()


def _typed(values: pa.Array, nature: str) -> Bools:
    """Return which values of a typed column, or of mixed JSON, are of a nature."""
    of = values.type
    if isinstance(of, pa.JsonType):
        return _begins(values, r"^(?:true|false)$") & (nature == "boolean")
    temporal = pa.types.is_temporal(of) and nature == "date"
    fits = temporal or (pa.types.is_boolean(of) and nature == "boolean")
    return mask(pc.is_valid(values)) & fits


def _begins(values: pa.Array, expression: str) -> Bools:
    return mask(pc.match_substring_regex(values.storage, expression))
