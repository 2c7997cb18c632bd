"""Every table of the store, each index with the question it answers; migrations must equal this."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, DATERANGE, INT4RANGE, JSONB, ExcludeConstraint

from gis import schema_columns as columns
from gis.cells import RESOLUTIONS
from gis.crs import DATUMS

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SOURCES = ("citizen", "grid_worker", "hotline", "superior", "sensor", "patrol")
"""Who reported an incident; `patrol` and `sensor` are left out of training risk models."""
COLOURS = ("blue", "yellow", "red")
"""Grades of an incident, from everyday to grave."""
STATES = ("reported", "dispatched", "handling", "verifying", "closed", "withdrawn")
"""The closed loop in its order; a withdrawn incident stays in the table but is counted nowhere."""
AREAS = ("water", "park", "wood", "other")
PARITIES = ("odd", "even", "both")
"""What covers an area of the base map; which house numbers stand on a side of a road."""
CAMERA_STATES = ("online", "offline", "fault")
"""What a camera may be; one that is not online is drawn as not working."""
PRECISIONS = ("second", "day")
"""How exactly a time is known: a day without a time of day stands at its midnight."""
NEVER_SHOWN = 99
"""The zoom from which a level without grids is shown."""
WIDEST_BUILDING = 0.2
"""Degrees, some 20 km: what is wider is no building, and would be drawn in thousands of tiles."""


batches = Table(
    "batches",
    metadata,
    columns.identity(),
    columns.text("kind", required=True),
    columns.text("origin", required=True),
    columns.text("file", required=True),
    columns.text("sha256", required=True),
    columns.text("mapping", required=True),
    columns.text("datum", required=True),
    Column("imported_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    Column("rows", sa.BigInteger, nullable=False),
    Column("accepted", sa.BigInteger, nullable=False),
    Column("refused", sa.BigInteger, nullable=False),
    Column("unchanged", sa.BigInteger, nullable=False),
    Column("faults", JSONB(none_as_null=True)),
    Column("demo", sa.Boolean, nullable=False, server_default=sa.false()),
    Column("reading", JSONB(none_as_null=True)),
    CheckConstraint("accepted + refused = rows", name="rows_add_up"),
    comment="One import of one file; faults holds those accepted by --accept-faults, reading how coordinates "
    "were transformed and shapes repaired.",
)

city = Table(
    "city",
    metadata,
    Column("singleton", sa.Boolean, primary_key=True, server_default=sa.true()),
    columns.text("code", required=True),
    columns.text("name_zh", required=True),
    columns.text("name_en", required=True),
    columns.text("timezone", required=True),
    columns.text("size", required=True),
    Column("synthetic", sa.Boolean, nullable=False),
    columns.text("attribution", required=True),
    Column("planted", JSONB(none_as_null=True)),
    # What the page speaks, the first unless its reader chooses.
    Column("languages", ARRAY(sa.Text), nullable=False, server_default="{zh,en}"),
    # The country, the province … that it lies in: what may stand before its name in an address.
    Column("within", ARRAY(sa.Text), nullable=False, server_default="{}"),
    # Set by safetymap demo, cleared by any import and by safetymap city set.
    Column("demo", sa.Boolean, nullable=False, server_default=sa.false()),
    CheckConstraint("singleton", name="single_row"),
    CheckConstraint("cardinality(languages) > 0 AND languages <@ ARRAY['zh', 'en']", name="languages"),
    comment="The one city of this database; planted holds the known clusters of a synthetic one.",
)

schemes = Table(
    "schemes",
    metadata,
    Column("name", sa.Text, primary_key=True),
    columns.text("title_zh", required=True),
    columns.text("title_en", required=True),
    Column("is_default", sa.Boolean, nullable=False, server_default=sa.false()),
    # Usage: at most one scheme answers when none is named.
    Index("uq_schemes_default", "is_default", unique=True, postgresql_where=sa.text("is_default")),
    comment="A city has several networks of grids: safety, party-building, wards …",
)

levels = Table(
    "levels",
    metadata,
    Column("scheme", sa.Text, ForeignKey("schemes.name"), primary_key=True),
    Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
    columns.text("name_zh", required=True),
    columns.text("name_en", required=True),
    Column("minzoom", sa.SmallInteger, nullable=False, server_default=str(NEVER_SHOWN)),
    comment="minzoom = from which zoom on the map shows this level, set from its grids' typical size.",
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", sa.Integer, sa.Identity(always=False), primary_key=True),
    columns.text("scheme", required=True),
    Column("known_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    columns.text("note", required=True),
    sa.ForeignKeyConstraint(["scheme"], ["schemes.name"]),
    comment="Each moment the world's record of grids changed, in order.",
)

grid_codes = Table(
    "grid_codes",
    metadata,
    columns.identity(),
    Column("scheme", sa.Text, ForeignKey("schemes.name"), nullable=False),
    columns.text("code", required=True),
    Column("plan_id", sa.BigInteger),  # for which plan it was reserved; no key: plans may be exported apart
    # Usage: one identity per code for ever; also the target of grids' composite key.
    UniqueConstraint("scheme", "code"),
    UniqueConstraint("id", "scheme", "code"),
    # Usage: a code behind an address that is a grid's on another day.
    Index("ix_grid_codes_key", sa.text("fold_text(code)")),
    comment="The identity of a grid: a code is given once and never reused.",
)

grids = Table(
    "grids",
    metadata,
    columns.identity(),
    Column("grid_id", sa.BigInteger, nullable=False),
    columns.text("scheme", required=True),
    columns.text("code", required=True),
    Column("level", sa.SmallInteger, nullable=False),
    columns.text("parent_code"),
    columns.text("name", required=True),
    columns.text("kind"),
    columns.geometry("MULTIPOLYGON"),
    Column("area_m2", sa.Double, nullable=False),
    Column("valid", DATERANGE, nullable=False),
    Column("known", INT4RANGE, nullable=False),
    Column("batch_id", sa.BigInteger, ForeignKey("batches.id")),
    # The place in a list, where planners set one.
    Column("display_order", sa.Integer),
    sa.ForeignKeyConstraint(
        ["grid_id", "scheme", "code"],
        ["grid_codes.id", "grid_codes.scheme", "grid_codes.code"],
        name="fk_grids_grid_id",
    ),
    sa.ForeignKeyConstraint(["scheme", "level"], ["levels.scheme", "levels.level"], name="fk_grids_level"),
    CheckConstraint("NOT isempty(valid) AND NOT isempty(known)", name="ranges_not_empty"),
    CheckConstraint("ST_IsValid(geom) AND NOT ST_IsEmpty(geom)", name="geom_valid"),
    # One code has one truth per day and revision.
    ExcludeConstraint(
        ("grid_id", "="), ("valid", "&&"), ("known", "&&"), using="gist", name="ex_grids_one_truth"
    ),
    # Usage: whose is this point? what lies in this tile?
    columns.spatial("grids"),
    # Usage: one grid, its history, the chain upward.
    Index("ix_grids_scheme_code", "scheme", "code"),
    Index("ix_grids_code_key", sa.text("fold_text(code)")),
    # Usage: the children of a grid.
    Index("ix_grids_scheme_parent_code", "scheme", "parent_code"),
    columns.key("name"),
    # Usage: a grid by its name.
    columns.by_key("grids", "name"),
    # Usage: a word anywhere in its name.
    columns.by_grams("grids", "name"),
    comment="Versions of grids: valid = days in force, known = revisions during which we believed so.",
)

staff = Table(
    "staff",
    metadata,
    columns.identity(),
    *columns.provenance(),
    columns.text("name", required=True),
    columns.text("phone"),
    UniqueConstraint("origin", "origin_id"),
    columns.key("name"),
    # Usage: somebody by name.
    columns.by_key("staff", "name"),
)

posts = Table(
    "posts",
    metadata,
    columns.identity(),
    Column("staff_id", sa.BigInteger, ForeignKey("staff.id"), nullable=False),
    Column("grid_id", sa.BigInteger, ForeignKey("grid_codes.id"), nullable=False),
    columns.text("post", required=True),
    # The number on the grid's notice board: all that the public learns of who holds the post.
    columns.text("public_phone"),
    Column("valid", DATERANGE, nullable=False),
    # Usage: who is answerable for this grid? A b-tree, because the exclusion's GiST is slow to descend.
    Index("ix_posts_grid_id", "grid_id"),
    ExcludeConstraint(
        ("grid_id", "="), ("staff_id", "="), ("post", "="), ("valid", "&&"), using="gist",
        name="ex_posts_once",
    ),
    # Usage: which posts does this person hold?
    Index("ix_posts_staff_id", "staff_id"),
)  # fmt: skip

categories = Table(
    "categories",
    metadata,
    Column("code", sa.Text, primary_key=True),
    Column("parent", sa.Text, ForeignKey("categories.code")),
    columns.text("name_zh", required=True),
    columns.text("name_en", required=True),
    comment="The tree of incident categories; the importer refuses codes that are not in it.",
)

cells = Table(
    "cells",
    metadata,
    columns.identity(),
    Column("cell", sa.BigInteger, nullable=False),
    Column("res", sa.SmallInteger, nullable=False),
    columns.geometry("POLYGON"),
    Column("area_m2", sa.Double, nullable=False),
    # Usage: the shape of a counted cell.
    UniqueConstraint("cell"),
    # Usage: the cells of one resolution in a tile; the planner combines it with the filter on res.
    columns.spatial("cells"),
    comment="Every cell that ever held a feature; its small id serves tiles, whose ids stay below 2^53.",
)

incidents = Table(
    "incidents",
    metadata,
    columns.identity(),
    *columns.provenance(batch=False),
    columns.text("code", required=True),
    Column("category", sa.Text, ForeignKey("categories.code"), nullable=False),
    columns.text("source", required=True),
    columns.text("colour", required=True),
    columns.text("state", required=True),
    Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
    # The end of the span in which it happened, where no more is known; null: at occurred_at.
    Column("occurred_until", sa.DateTime(timezone=True)),
    Column("occurred_precision", sa.Text, nullable=False, server_default="second"),
    Column("reported_at", sa.DateTime(timezone=True), nullable=False),
    Column("responded_at", sa.DateTime(timezone=True)),
    Column("closed_at", sa.DateTime(timezone=True)),
    columns.text("description"),
    columns.text("address"),
    Column("accuracy_m", sa.REAL),
    # How the place was found where the source gave no coordinates.
    columns.text("placed_by"),
    columns.text("datum", required=True),
    columns.text("recorded_grid"),
    columns.text("grid_code"),
    columns.geometry("POINT", nullable=True),
    *columns.cell_columns(),
    # SHA-256 of what was reported over HTTP, to know a report that comes again; null for what was imported.
    Column("report_hash", BYTEA),
    columns.one_of("source", SOURCES),
    columns.one_of("colour", COLOURS),
    columns.one_of("state", STATES),
    columns.one_of("occurred_precision", PRECISIONS),
    CheckConstraint("occurred_until >= occurred_at", name="until_after_at"),
    columns.one_of("datum", DATUMS),
    CheckConstraint(
        "num_nulls(geom, "
        + ", ".join(f"cell_{r}" for r in RESOLUTIONS)
        + f") IN (0, {1 + len(RESOLUTIONS)})",
        name="cells_stamped",
    ),
    # Usage: import again changes nothing.
    UniqueConstraint("origin", "origin_id"),
    # Usage: an incident by its unified code.
    UniqueConstraint("code"),
    # Usage: points in a tile, incidents inside an area.
    columns.spatial("incidents"),
    # Usage: every count over a period.
    Index("ix_incidents_occurred_at", "occurred_at"),
    # Usage: spans that reach into a period.
    Index(
        "ix_incidents_occurred_until",
        "occurred_until",
        postgresql_where=sa.text("occurred_until IS NOT NULL"),
    ),
    comment="recorded_grid = what the source said; grid_code = the leaf that owned it then, found at intake.",
)

transitions = Table(
    "transitions",
    metadata,
    columns.identity(),
    Column("incident_id", sa.BigInteger, ForeignKey("incidents.id"), nullable=False),
    columns.text("from_state"),
    columns.text("to_state", required=True),
    Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    columns.text("note"),
    Column("corrects", sa.BigInteger, ForeignKey("transitions.id")),
    columns.one_of("from_state", STATES),
    columns.one_of("to_state", STATES),
    # A step is corrected once; the correction may be corrected in turn.
    UniqueConstraint("corrects"),
    # Usage: the life of one incident.
    Index("ix_transitions_incident_id", "incident_id"),
    comment="corrects = the step in whose place this one stands; from and to exchanged, "
    "it takes that step back.",
)

buildings = Table(
    "buildings",
    metadata,
    columns.identity(),
    *columns.provenance(),
    columns.text("name"),
    columns.text("address"),
    columns.text("kind"),
    Column("floors", sa.SmallInteger),
    Column("households", sa.Integer),
    Column("units", sa.Integer),
    columns.geometry("GEOMETRY"),
    columns.geometry("POINT", "point"),
    *columns.cell_columns(),
    CheckConstraint("floors >= 0 AND households >= 0 AND units >= 0", name="counts_not_negative"),
    CheckConstraint(f"widest_part(geom) <= {WIDEST_BUILDING}", name="no_wider_than_one_is"),
    UniqueConstraint("origin", "origin_id"),
    # Usage: footprints in a tile.
    columns.spatial("buildings"),
    # Usage: which buildings does this grid own? A building has one owner, that of its point.
    columns.spatial("buildings", "point"),
    columns.key("name"),
    columns.key("address"),
    # Usage: a name or an address in any of its spellings, or from its beginning.
    columns.by_key("buildings", "name"),
    columns.by_key("buildings", "address"),
    # Usage: an address without the regions before it.
    columns.by_end("buildings", "address"),
    # Usage: an address from its street on, as far as it is typed.
    columns.by_street("buildings", "address"),
    # Usage: a word anywhere in a name.
    columns.by_grams("buildings", "name"),
    columns.by_words("buildings", "address"),
    comment="point = a point on the footprint, by which the building is owned and counted.",
)

cameras = Table(
    "cameras",
    metadata,
    columns.identity(),
    *columns.provenance(),
    columns.text("gb28181"),
    columns.text("name"),
    columns.text("kind"),
    Column("headings", ARRAY(sa.REAL)),
    Column("fov", sa.REAL),
    Column("range_m", sa.REAL),
    columns.text("state"),
    columns.text("address"),
    columns.geometry("POINT"),
    *columns.cell_columns(),
    CheckConstraint("gb28181 ~ '^[0-9]{20}$'", name="gb28181_20_digits"),
    CheckConstraint("0 <= ALL (headings) AND 360 > ALL (headings)", name="headings_are_bearings"),
    CheckConstraint("fov > 0 AND fov <= 360", name="fov"),
    CheckConstraint("range_m > 0", name="range_m"),
    columns.one_of("state", CAMERA_STATES),
    UniqueConstraint("origin", "origin_id"),
    # Usage: a camera by its code.
    Index("ix_cameras_gb28181", "gb28181"),
    columns.spatial("cameras"),
    comment="headings = the bearings watched, degrees clockwise from north; one camera may watch several.",
)

responders = Table(
    "responders",
    metadata,
    columns.identity(),
    *columns.provenance(),
    columns.text("name", required=True),
    columns.text("kind", required=True),
    Column("skills", ARRAY(sa.Text), nullable=False, server_default="{}"),
    columns.text("status", required=True),
    Column("units", sa.Integer),
    columns.text("address"),
    Column("position_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    columns.geometry("POINT"),
    columns.one_of("status", ("available", "busy", "off")),
    UniqueConstraint("origin", "origin_id"),
    # Usage: who is nearest (KNN)? geography, so that the order is that of geodesic metres.
    Index("ix_responders_geog", sa.text("(geom::geography)"), postgresql_using="gist"),
    columns.spatial("responders"),
    comment="A person or crew that can be sent; position_at = when geom was last true.",
)

places = Table(
    "places",
    metadata,
    columns.identity(),
    *columns.provenance(),
    columns.text("name", required=True),
    columns.text("kind", required=True),
    columns.text("address"),
    columns.geometry("GEOMETRY"),
    columns.geometry("POINT", "point"),
    *columns.cell_columns(),
    UniqueConstraint("origin", "origin_id"),
    columns.spatial("places"),
    columns.key("name"),
    columns.key("address"),
    # Usage: as with buildings.
    columns.by_key("places", "name"),
    columns.by_key("places", "address"),
    columns.by_end("places", "name"),
    columns.by_end("places", "address"),
    columns.by_street("places", "address"),
    columns.by_grams("places", "name"),
    columns.by_words("places", "address"),
    comment="Key places and service points.",
)

_PART = "Number of the line in its row, from 1 in the order of drawing; 0 where the row is one line."
roads = Table(
    "roads",
    metadata,
    columns.identity(),
    *columns.provenance(),
    Column("part", sa.SmallInteger, nullable=False, server_default=sa.text("0"), comment=_PART),
    columns.text("name"),
    columns.text("class", required=True),
    Column("oneway", sa.Boolean, nullable=False, server_default=sa.false()),
    Column("speed_kmh", sa.REAL),
    Column("length_m", sa.Double, nullable=False),
    Column("u", sa.BigInteger, nullable=False),
    Column("v", sa.BigInteger, nullable=False),
    *columns.address_ranges(),
    columns.geometry("LINESTRING"),
    columns.one_of("left_parity", PARITIES),
    columns.one_of("right_parity", PARITIES),
    UniqueConstraint("origin", "origin_id", "part"),
    columns.spatial("roads"),
    columns.key("name"),
    # Usage: a road by its name.
    columns.by_key("roads", "name"),
    # Usage: a word anywhere in its name.
    columns.by_grams("roads", "name"),
    comment="Edges of the road graph; u and v are its nodes. House numbers run from u to v on each side.",
)

areas = Table(
    "areas",
    metadata,
    columns.identity(),
    *columns.provenance(),
    columns.text("name"),
    columns.text("kind", required=True),
    columns.geometry("GEOMETRY"),
    columns.one_of("kind", AREAS),
    UniqueConstraint("origin", "origin_id"),
    columns.spatial("areas"),
    comment="Water, parks and woods of the base map.",
)
