"""From a source's columns to our fields by a mapping: joined, split, translated, filled, parsed."""

import json
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing import codes, encodings
from gis.importing.kinds import Field, Kind
from gis.importing.mapping import Mapping, Value, pick
from gis.importing.parsing import Bools, Rules, as_text, mask, prose, relisted, text
from gis.importing.quoting import FORMULA, unquoted
from gis.importing.refusals import Sieve
from gis.importing.source import Chunk


@dataclass
class Draft:
    """A chunk on its way: our typed columns, all rows, with the sieve of those still good."""

    chunk: Chunk
    sieve: Sieve
    columns: dict[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.chunk)

    def text(self, name: str) -> pa.Array:
        """Return a column of texts, all null when the source has none."""
        return self.columns.get(name, pa.nulls(len(self), pa.string()))


def draft(chunk: Chunk, kind: Kind, mapping: Mapping, rules: Rules) -> Draft:
    """Return a chunk's rows as our fields; rows with unusable or missing values are refused."""
    sieve = Sieve(chunk.rows, np.ones(len(chunk), bool))
    made = Draft(chunk, sieve)
    for one in kind.fields:
        values = _mapped(chunk, one.name, mapping, sieve)
        if values is not None:
            _refuse_lost(one, values, sieve)
            parsed = one.parse(values, rules)
            sieve.refuse(parsed.bad, one.name, parsed.reason, values)
            made.columns[one.name] = parsed.values
        if one.required:
            _require(made, one)
    return made


def _refuse_lost(one: Field, values: pa.Array, sieve: Sieve) -> None:
    """Refuse numbers in a field of text that may once have been other ones."""
    if one.parse in (text, prose) and not pa.types.is_nested(values.type):
        sieve.refuse(
            mask(pc.match_substring_regex(as_text(values), codes.LOST)), one.name, codes.TOLD, values
        )


def _require(made: Draft, one: Field) -> None:
    values = made.columns.get(one.name)
    absent = np.ones(len(made), bool) if values is None else ~mask(pc.is_valid(values))
    made.sieve.refuse(absent, one.name, "is missing; fill it in, or give the mapping a default")


def _mapped(chunk: Chunk, name: str, mapping: Mapping, sieve: Sieve) -> pa.Array | None:
    """Return a field's values by the mapping before parsing, None when the source has nothing for it."""
    if name in mapping.constants:
        return repeated(mapping.constants[name], len(chunk))
    values = _taken(chunk, name, mapping, sieve)
    if values is not None and name in mapping.extract:
        # RE2 numbers no groups, so the first one gets a name.
        named = mapping.extract[name].replace("(", "(?P<value>", 1)
        values = pc.struct_field(pc.extract_regex(as_text(values), named), "value")
    if values is not None and name in mapping.split:
        values = _split(values, mapping.split[name])
    if values is not None and name in mapping.values:
        values = _translated(values, mapping.values[name])
    return _filled(values, name, mapping, len(chunk))


def _filled(values: pa.Array | None, name: str, mapping: Mapping, count: int) -> pa.Array | None:
    if name not in mapping.defaults:
        return values
    default = repeated(mapping.defaults[name], count)
    if values is None:
        return default
    same = values if values.type == default.type else as_text(values)
    return pc.coalesce(same, default.cast(same.type))


def _taken(chunk: Chunk, name: str, mapping: Mapping, sieve: Sieve) -> pa.Array | None:
    if name in mapping.join:
        picked = [pick(part, chunk.table.column_names) for part in mapping.join[name]]
        parts = [as_text(cleaned(chunk, part, mapping, sieve, name)) for part in picked if part]
        joined = pc.binary_join_element_wise(*parts, " ", null_handling="skip")
        return pc.if_else(pc.equal(joined, ""), None, joined)
    column = mapping.found(name, chunk.table.column_names)
    return None if column is None else cleaned(chunk, column, mapping, sieve, name)


def cleaned(chunk: Chunk, column: str, mapping: Mapping, sieve: Sieve, name: str) -> pa.Array:
    """Return a column as one array, texts trimmed, null where empty; rows with a formula are refused."""
    values = chunk.table[column].combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0) if values.num_chunks else pa.nulls(0, values.type)
    if pa.types.is_dictionary(values.type):
        values = as_text(values)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return values
    trimmed = pc.utf8_trim_whitespace(as_text(values))
    sieve.refuse(
        mask(pc.match_substring_regex(trimmed, FORMULA)), name,
        "is a formula; paste its value instead", trimmed,
    )  # fmt: skip
    sieve.refuse(
        mask(pc.match_substring_regex(trimmed, encodings.UNREADABLE)), name,
        "holds signs that are none (cut in half, or of another encoding); mend it, or say --encoding",
        trimmed,
    )  # fmt: skip
    nothing = pc.is_in(trimmed, pa.array(["", *mapping.nulls]))
    return pc.if_else(nothing, None, unquoted(trimmed))


def _split(values: pa.Array, sign: str) -> pa.Array:
    if pa.types.is_nested(values.type):
        return values
    texts = as_text(values)
    lists = pc.split_pattern(texts, sign)
    split = relisted(lists, pc.utf8_trim_whitespace(lists.flatten()))
    if not mask(pc.starts_with(texts, "[")).any():
        return split
    each = zip(texts.to_pylist(), split.to_pylist(), strict=True)
    return pa.array([_json_list(text, parts) for text, parts in each], pa.list_(pa.string()))


def _json_list(text: str | None, parts: list[str]) -> list[str]:
    """Return the items of a list in JSON, as our exports write it; `parts` where a text is none."""
    try:
        read = json.loads(text) if text and text.startswith("[") else parts
    except ValueError:
        return parts
    return [str(item) for item in read]


def _translated(values: pa.Array, words: dict[str, Value]) -> pa.Array:
    """Return values with those that the mapping names replaced; the others stay."""
    if pa.types.is_list(values.type):
        return relisted(values, _translated(values.flatten(), words))
    texts = as_text(values)
    ours = pa.array([str(word) for word in words.values()], pa.string())
    replaced = pc.take(ours, pc.index_in(texts, pa.array(list(words), pa.string())))
    result = pc.coalesce(replaced, texts)
    return pc.if_else(pc.equal(result, ""), None, result)


def repeated(value: Value, count: int) -> pa.Array:
    """Return one value `count` times."""
    return pa.array([value] * count)


def good(made: Draft) -> Bools:
    """Return which rows are still good."""
    return made.sieve.ok
