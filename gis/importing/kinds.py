"""The kinds that can be imported, each with its fields, table and shape: one literal table."""

from dataclasses import dataclass
from typing import Literal

from gis.crs import DATUMS
from gis.importing import spoken
from gis.importing.parsing import (
    Parser,
    bearings,
    category,
    identifier,
    integer,
    number,
    one_of,
    pattern,
    prose,
    text,
    words,
)  # fmt: skip
from gis.importing.road_words import direction, parity
from gis.importing.speeds import speed
from gis.importing.times import day, moment
from gis.schema import AREAS, CAMERA_STATES, COLOURS, PRECISIONS, SOURCES, STATES, WIDEST_BUILDING

Shape = Literal["point", "polygon", "line", "any"]
_SMALL, _INT, _BIG = 32_767, 2_147_483_647, 2**53 - 1
_HOMES = 100_000
"""Households or units of a building at most: five times as many as the largest have."""


@dataclass(frozen=True)
class Field:
    """One of our fields: its parser, whether a row without it is refused, whether it may hold several.

    `empty`: the words that mean nothing there.
    """

    name: str
    parse: Parser
    required: bool = False
    many: bool = False
    empty: tuple[str, ...] = spoken.EMPTY


@dataclass(frozen=True)
class Kind:
    """One kind of row: where it is kept, what it has, and which geometry.

    `stamped`: the row bears its cells. `inner`: the table keeps a point inside the shape as well.
    `widest`: degrees that a shape may be across. `life`: times in the order in which they come.
    """

    name: str
    table: str
    fields: tuple[Field, ...]
    shape: Shape | None
    stamped: bool = False
    inner: bool = False
    widest: float = 360.0
    life: tuple[str, ...] = ()


_ID = Field("origin_id", identifier, required=True)
_FROM = Field("origin", identifier)
_NAME, _ADDRESS = Field("name", text), Field("address", text)

_LIFE = ("occurred_at", "occurred_until", "reported_at", "responded_at", "closed_at")

_ALL = (
    Kind("grids", "grids", (
        Field("scheme", identifier), Field("code", identifier, required=True),
        Field("level", integer(0, 99), required=True), Field("parent_code", identifier),
        Field("name", text, required=True), Field("kind", text),
        Field("valid_from", day), Field("valid_to", day), Field("display_order", integer(0, _INT)),
        Field("scheme_zh", text), Field("scheme_en", text), Field("level_zh", text), Field("level_en", text),
    ), "polygon"),
    Kind("staff", "staff", (
        _FROM, _ID, Field("name", text, required=True), Field("phone", text), Field("post", text),
        Field("scheme", identifier), Field("grid_code", identifier),
        Field("valid_from", day), Field("valid_to", day),
        Field("public_phone", text),
    ), None),
    Kind("categories", "categories", (
        Field("code", identifier, required=True), Field("parent", identifier),
        Field("name_zh", text), Field("name_en", text),
    ), None),
    Kind("buildings", "buildings", (
        _FROM, _ID, _NAME, _ADDRESS, Field("kind", text), Field("floors", integer(0, _SMALL)),
        Field("households", integer(0, _HOMES)), Field("units", integer(0, _HOMES)),
    ), "polygon", stamped=True, inner=True, widest=WIDEST_BUILDING),
    Kind("cameras", "cameras", (
        _FROM, _ID, Field("gb28181", pattern("[0-9]{20}", "is no GB/T 28181 code of 20 digits")), _NAME,
        Field("kind", text), Field("headings", bearings, many=True), Field("fov", number(1, 360, "degrees")),
        Field("range_m", number(0.1, 100_000, "metres")),
        Field("state", one_of(CAMERA_STATES, spoken.CAMERA_STATES)), _ADDRESS,
    ), "point", stamped=True),
    Kind("incidents", "incidents", (
        _FROM, _ID, Field("code", identifier), Field("category", category, required=True),
        Field("source", one_of(SOURCES, spoken.SOURCES), required=True),
        Field("colour", one_of(COLOURS, spoken.COLOURS), required=True),
        Field("state", one_of(STATES, spoken.STATES), required=True),
        Field("occurred_at", moment, required=True), Field("occurred_until", moment),
        Field("occurred_precision", one_of(PRECISIONS)),
        Field("reported_at", moment), Field("responded_at", moment), Field("closed_at", moment),
        Field("description", prose), _ADDRESS, Field("accuracy_m", number(0, 1_000_000, "metres")),
        Field("datum", one_of(DATUMS, spoken.DATUMS)), Field("original_datum", one_of(DATUMS, spoken.DATUMS)),
        Field("recorded_grid", identifier), Field("placed_by", text),
    ), "point", stamped=True, life=_LIFE),
    Kind("responders", "responders", (
        _FROM, _ID, Field("name", text, required=True), Field("kind", text, required=True),
        Field("skills", words, many=True),
        Field("status", one_of(("available", "busy", "off"), spoken.STATUSES), required=True),
        Field("units", integer(0, _INT)), _ADDRESS, Field("position_at", moment),
    ), "point"),
    Kind("places", "places", (
        _FROM, _ID, Field("name", text, required=True), Field("kind", text, required=True), _ADDRESS,
    ), "any", stamped=True, inner=True),
    Kind("roads", "roads", (
        _FROM, _ID, Field("part", integer(0, _SMALL)), _NAME, Field("class", text, required=True),
        Field("oneway", direction, empty=spoken.EMPTY_FLAG),
        Field("speed_kmh", speed(0.1, 500)), Field("length_m", number(0, 1_000_000, "metres")),
        Field("u", integer(-_BIG, _BIG)), Field("v", integer(-_BIG, _BIG)),
        Field("u_level", integer(-13, 12)), Field("v_level", integer(-13, 12)),
        Field("left_from", integer(-1, _INT)), Field("left_to", integer(-1, _INT)),
        Field("left_parity", parity),
        Field("right_from", integer(-1, _INT)), Field("right_to", integer(-1, _INT)),
        Field("right_parity", parity),
    ), "line"),
    Kind("areas", "areas", (
        _FROM, _ID, _NAME, Field("kind", one_of(AREAS), required=True),
    ), "polygon"),
)  # fmt: skip

KINDS = {kind.name: kind for kind in _ALL}
