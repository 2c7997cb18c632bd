"""Speeds of roads: numbers in km/h, or with their unit beside them, as sources write them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing.parsing import Bools, Parsed, Parser, Rules, as_text, by_value, folded, mask, numbers

KMH_PER_MPH = 1.609344
"""The international mile is 1,609.344 m (1959)."""
UNITS = {
    "km/h": ("km/h", "kmh", "kph", "kmph", "km/hr", "公里/小时", "公里/时", "千米/小时", "km/小时"),
    "mph": ("mph", "mi/h", "mi/hr", "m.p.h.", "miles/h", "英里/小时", "英里/时"),
}
_WITH_UNIT = r"^(?P<number>[+-]?[0-9.,]+)\s*(?P<unit>[^0-9\s.,+-].*?)\s*$"


def speed(low: float, high: float) -> Parser:
    """Return a parser of speeds from `low` to `high` km/h, both included; what is in mph is converted.

    A number without a unit is in km/h, as tags of OpenStreetMap are.
    """

    @by_value
    def parse(values: pa.Array, rules: Rules) -> Parsed:
        bare, is_mph, unknown = _without_units(values)
        floats, bad = numbers(bare, rules.decimal)
        floats = np.where(is_mph, floats * KMH_PER_MPH, floats)
        bad |= unknown | (floats < low) | (floats > high)
        reason = f"is no speed from {low:g} to {high:g} km/h, such as 50, 50 km/h or 30 mph; correct it"
        return Parsed(pa.array(floats, mask=np.isnan(floats)), bad, reason, converted=is_mph & ~bad)

    return parse


def _without_units(values: pa.Array) -> tuple[pa.Array, Bools, Bools]:
    """Return speeds without their unit, which are in mph, and which in a unit that is unknown."""
    none = np.zeros(len(values), dtype=bool)
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        return values, none, none
    texts = pc.utf8_lower(folded(as_text(values)))
    found = pc.extract_regex(texts, _WITH_UNIT)
    units = pc.struct_field(found, "unit")
    known = {name: mask(pc.is_in(units, pa.array(UNITS[name]))) for name in UNITS}
    bare = pc.if_else(pc.is_valid(units), pc.struct_field(found, "number"), texts)
    return bare, known["mph"], mask(pc.is_valid(units)) & ~known["mph"] & ~known["km/h"]
