"""From a source's columns to our fields by a mapping: joined, split, translated, filled, parsed."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing import codes, encodings, natures, spoken, totals
from gis.importing.kinds import Field, Kind
from gis.importing.mapping import Mapping, Value, pick
from gis.importing.parsing import (
    Bools,
    Parsed,
    Rules,
    as_text,
    identifier,
    is_bytes,
    is_text,
    mask,
    prose,
    relisted,
    safely,
    text,
)
from gis.importing.quoting import FORMULA, unquoted
from gis.importing.refusals import Sieve
from gis.importing.source import Chunk, one_array
from gis.importing.times import in_order


@dataclass
class Draft:
    """A chunk on its way: our typed columns, all rows, with the sieve of those still good."""

    chunk: Chunk
    sieve: Sieve
    columns: dict[str, pa.Array] = field(default_factory=dict)
    dated: dict[str, Bools] = field(default_factory=dict)
    """Of columns of times, which are days without a time of day."""
    written: dict[str, pa.Array] = field(default_factory=dict)
    """Columns of times as the file wrote them."""
    clamped: int = 0
    """Times a little ahead of our clock, taken as now."""
    converted: int = 0
    """Speeds in miles an hour."""

    def __len__(self) -> int:
        return len(self.chunk)

    def text(self, name: str) -> pa.Array:
        """Return a column of texts, all null when the source has none."""
        return self.columns.get(name, pa.nulls(len(self), pa.string()))


def draft(chunk: Chunk, kind: Kind, mapping: Mapping, rules: Rules) -> Draft:
    """Return a chunk's rows as our fields; rows with unusable or missing values are refused."""
    sieve = Sieve(chunk.rows, np.ones(len(chunk), bool))
    totals.refuse(chunk, sieve)
    made, others = Draft(chunk, sieve), dict[str, pa.Array]()
    for one in kind.fields:
        values = _mapped(chunk, one, mapping, sieve)
        if values is not None:
            _refuse_lost(one, values, sieve)
            parsed = safely(one.parse, _single(values, one, sieve), rules)
            sieve.refuse(parsed.bad, one.name, parsed.reason, values)
            _keep(made, one.name, parsed, values, others)
        if one.required:
            _require(made, one)
    made.columns = in_order(made.columns, others, kind.life, made.dated)
    return made


def _refuse_lost(one: Field, values: pa.Array, sieve: Sieve) -> None:
    """Refuse numbers in a field of text that may once have been other ones."""
    if one.parse in (text, identifier, prose) and not pa.types.is_nested(values.type):
        sieve.refuse(
            mask(pc.match_substring_regex(as_text(values), codes.LOST)), one.name, codes.TOLD, values
        )


def _keep(made: Draft, name: str, parsed: Parsed, values: pa.Array, others: dict[str, pa.Array]) -> None:
    made.columns[name] = parsed.values
    if parsed.other is not None:
        others[name] = parsed.other
    if parsed.dated is not None:
        made.dated[name], made.written[name] = parsed.dated, values
    if parsed.clamped is not None:
        made.clamped += int(np.count_nonzero(parsed.clamped & made.sieve.ok))
    if parsed.converted is not None:
        made.converted += int(np.count_nonzero(parsed.converted & made.sieve.ok))


def _single(values: pa.Array, one: Field, sieve: Sieve) -> pa.Array:
    """Refuse lists where one value is meant."""
    if one.many or not pa.types.is_nested(values.type):
        return values
    sieve.refuse(mask(pc.is_valid(values)), one.name, "holds several values where one is meant", values)
    return pa.nulls(len(values), pa.string())


def _require(made: Draft, one: Field) -> None:
    values = made.columns.get(one.name)
    absent = np.ones(len(made), bool) if values is None else ~mask(pc.is_valid(values))
    made.sieve.refuse(absent, one.name, "is missing; fill it in, or give the mapping a default")


def _mapped(chunk: Chunk, one: Field, mapping: Mapping, sieve: Sieve) -> pa.Array | None:
    """Return a field's values by the mapping before parsing, None when the source has nothing for it."""
    name = one.name
    if name in mapping.constants:
        return repeated(mapping.constants[name], len(chunk))
    values = _taken(chunk, one, mapping, sieve)
    if values is not None and name in mapping.extract:
        # RE2 numbers no groups, so the first one gets a name.
        named = mapping.extract[name].replace("(", "(?P<value>", 1)
        values = pc.struct_field(pc.extract_regex(as_text(values), named), "value")
    if values is not None and name in mapping.split:
        values = _split(values, mapping.split[name])
    if values is not None and name in mapping.values:
        values = translated(values, mapping.values[name])
    return _filled(values, name, mapping, len(chunk))


def _filled(values: pa.Array | None, name: str, mapping: Mapping, count: int) -> pa.Array | None:
    if name not in mapping.defaults:
        return values
    default = repeated(mapping.defaults[name], count)
    if values is None:
        return default
    same = values if values.type == default.type else as_text(values)
    return pc.coalesce(same, default.cast(same.type))


def _taken(chunk: Chunk, one: Field, mapping: Mapping, sieve: Sieve) -> pa.Array | None:
    name, chunk = one.name, natures.as_seen(chunk, one)
    empty = [word for word in (*one.empty, *mapping.nulls) if word not in mapping.values.get(name, ())]
    if name in mapping.join:
        picked = [pick(part, chunk.table.column_names) for part in mapping.join[name]]
        for part in filter(None, picked):
            natures.refuse(chunk, part, one, sieve)
        parts = [as_text(cleaned(chunk, part, sieve, name, empty)) for part in picked if part]
        joined = pc.binary_join_element_wise(*parts, " ", null_handling="skip") if parts else None
        return None if joined is None else pc.if_else(pc.equal(joined, ""), None, joined)
    column = mapping.found(name, chunk.table.column_names)
    if column is None:
        return None
    natures.refuse(chunk, column, one, sieve)
    return cleaned(chunk, column, sieve, name, empty)


_ERROR = r"^#(?:REF!|DIV/0!|VALUE!|NAME\?|NUM!|NULL!|SPILL!|CALC!)$"


def cleaned(
    chunk: Chunk, column: str, sieve: Sieve, name: str, empty: Sequence[str] = spoken.EMPTY
) -> pa.Array:
    """Return a column as one array, texts trimmed, null where empty; rows with a formula are refused."""
    values = one_array(chunk.table[column])
    if isinstance(values.type, pa.JsonType):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = as_text(values)
    if not (is_text(values.type) or (is_bytes(values.type) and name != "geometry")):
        return _without(values, empty)
    trimmed = pc.utf8_trim_whitespace(_readable(values, sieve, name))
    for sign, reason in _SIGNS:
        sieve.refuse(mask(pc.match_substring_regex(trimmed, sign)), name, reason, trimmed)
    return pc.if_else(pc.is_in(trimmed, pa.array(["", *empty])), None, unquoted(trimmed))


def _without(values: pa.Array, empty: Sequence[str]) -> pa.Array:
    """Return numbers, null where one is among the words for nothing: `-1`, `9999`."""
    nothing = [float(word) for word in empty if re.fullmatch(r"[+-]?\d+(\.\d+)?", word, re.ASCII)]
    if not nothing or not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return values
    return pc.if_else(pc.is_in(values.cast(pa.float64(), safe=False), pa.array(nothing)), None, values)


_SIGNS = (
    (FORMULA, "is a formula; paste its value instead"),
    (_ERROR, "is an error of a spreadsheet; mend the cell"),
    (
        encodings.UNREADABLE,
        "holds signs that are none (cut in half, or of another encoding); mend it, or say --encoding",
    ),
)


def _readable(values: pa.Array, sieve: Sieve, name: str) -> pa.Array:
    """Return texts as UTF-8; rows whose bytes are none are refused."""
    try:
        texts = values.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        decoded = [_decoded(one) for one in values.cast(pa.binary()).to_pylist()]
        broken = np.array([one is False for one in decoded], bool)
        sieve.refuse(
            broken, name, "holds bytes that are no UTF-8; save the file as UTF-8 or say its encoding"
        )
        texts = pa.array([one or None for one in decoded], pa.string())
    return texts


def _decoded(raw: bytes | None) -> str | Literal[False] | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return False


def _split(values: pa.Array, signs: str | Sequence[str]) -> pa.Array:
    """Return lists of texts; `|`, which the table of fields names, cuts them whatever the mapping says."""
    if pa.types.is_nested(values.type):
        return values
    texts = as_text(values)
    every = ["|", signs] if isinstance(signs, str) else ["|", *signs]
    lists = pc.split_pattern_regex(texts, "|".join(map(re.escape, every)))
    split = _without_empty(relisted(lists, pc.utf8_trim_whitespace(lists.flatten())))
    if not mask(pc.starts_with(texts, "[")).any():
        return split
    each = zip(texts.to_pylist(), split.to_pylist(), strict=True)
    return pa.array([_json_list(text, parts) for text, parts in each], pa.list_(pa.string()))


def _without_empty(lists: pa.Array) -> pa.Array:
    """Return lists without their empty items: `a||b` is a and b, as an empty cell is nothing."""
    if not mask(pc.equal(lists.flatten(), "")).any():
        return lists
    kept = [None if items is None else [one for one in items if one] for items in lists.to_pylist()]
    return pa.array(kept, lists.type)


def _json_list(text: str | None, parts: list[str]) -> list[str]:
    """Return the items of a list in JSON, as our exports write it; `parts` where a text is none."""
    try:
        read = json.loads(text) if text and text.startswith("[") else parts
    except (ValueError, RecursionError):
        return parts
    return [str(item) for item in read]


_ANY_OTHER = "*"
"""In `values`: every value that the mapping does not name. An empty cell is none; it takes the default."""


def translated(values: pa.Array, words: dict[str, Value]) -> pa.Array:
    """Return values with those that the mapping names replaced; the others stay, or become that of `*`."""
    if pa.types.is_list(values.type):
        return relisted(values, translated(values.flatten(), words))
    texts = as_text(values)
    ours = pa.array([str(word) for word in words.values()], pa.string())
    replaced = pc.take(ours, pc.index_in(texts, pa.array(list(words), pa.string())))
    if _ANY_OTHER in words:
        other = pa.scalar(str(words[_ANY_OTHER]), pa.string())
        replaced = pc.if_else(pc.and_(pc.is_valid(texts), pc.is_null(replaced)), other, replaced)
    result = pc.coalesce(replaced, texts)
    return pc.if_else(pc.equal(result, ""), None, result)


def repeated(value: Value, count: int) -> pa.Array:
    """Return one value `count` times."""
    return pa.array([value] * count)


def good(made: Draft) -> Bools:
    """Return which rows are still good."""
    return made.sieve.ok
