"""Tables of planning: drafts of new boundaries, their tree of steps, and where the ground of a grid went."""

import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

from gis.crs import WGS84
from gis.schema import metadata

STATES = ("draft", "submitted", "approved", "published", "rejected", "withdrawn")
"""The life of a plan; only a draft takes steps."""
KINDS = ("kept", "split", "merged", "moved")
"""How ground came from one grid to another."""


def _one_of(column: str, allowed: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in allowed)})", name=column)


def _moment(name: str, *, now: bool = False) -> Column[object]:
    default = sa.func.now() if now else None
    return Column(name, sa.DateTime(timezone=True), nullable=not now, server_default=default)


plans = Table(
    "plans",
    metadata,
    Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True),
    Column("scheme", sa.Text, ForeignKey("schemes.name"), nullable=False),
    Column("scope", sa.Text, nullable=False),
    Column("title", sa.Text, nullable=False),
    Column("based_on", sa.Integer, nullable=False),
    Column("effective_on", sa.Date, nullable=False),
    Column("state", sa.Text, nullable=False, server_default="draft"),
    Column("author", sa.Text, nullable=False),
    Column("author_is", sa.Text, nullable=False),
    Column("approver", sa.Text),
    Column("note", sa.Text),
    Column("head", sa.BigInteger),
    Column("revision", sa.Integer, ForeignKey("revisions.id")),
    _moment("created_at", now=True),
    _moment("submitted_at"),
    _moment("approved_at"),
    _moment("published_at"),
    Column("approved_against", sa.Integer),
    _one_of("state", STATES),
    comment="head = the step that the draft stands at; author_is = the key or name, who may not approve; "
    "approved_against = the revision of the map that the approver saw.",
)

plan_steps = Table(
    "plan_steps",
    metadata,
    Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True),
    Column("plan_id", sa.BigInteger, ForeignKey("plans.id"), nullable=False),
    Column("parent", sa.BigInteger, ForeignKey("plan_steps.id")),
    Column("op", sa.Text, nullable=False),
    Column("params", JSONB, nullable=False),
    Column("author", sa.Text, nullable=False),
    _moment("at", now=True),
    # Usage: what can be done again from here? the steps of a plan, newest first.
    Index("ix_plan_steps_plan_id_parent_id", "plan_id", "parent", "id"),
    comment="Appended, never rewritten: undo moves the plan's head to the parent.",
)

plan_hands = Table(
    "plan_hands",
    metadata,
    Column("plan_id", sa.BigInteger, ForeignKey("plans.id"), primary_key=True),
    Column("who_is", sa.Text, primary_key=True),
    Column("name", sa.Text, nullable=False),
    comment="Who drew, imported, undid, decided or submitted anything of a plan: they may not approve it. "
    "who_is = the key or name.",
)

plan_changes = Table(
    "plan_changes",
    metadata,
    Column("step_id", sa.BigInteger, ForeignKey("plan_steps.id"), primary_key=True),
    Column("code", sa.Text, primary_key=True),
    Column("plan_id", sa.BigInteger, ForeignKey("plans.id"), nullable=False),
    Column("before", JSONB(none_as_null=True)),
    Column("before_shape", BYTEA),
    Column("after", JSONB(none_as_null=True)),
    Column("after_shape", BYTEA),
    Column("was_base", sa.Boolean, nullable=False),
    # Whether the grid merely got vertices in its border.
    Column("bent", sa.Boolean, nullable=False, server_default=sa.false()),
    comment="The grids a step changed, before and after; shapes as WKB in whole units of 1e-7 degree.",
)

plan_grids = Table(
    "plan_grids",
    metadata,
    Column("plan_id", sa.BigInteger, ForeignKey("plans.id"), primary_key=True),
    Column("code", sa.Text, primary_key=True),
    Column("grid", JSONB(none_as_null=True)),
    Column("shape", BYTEA),
    Column("geom", Geometry("MULTIPOLYGON", srid=WGS84, spatial_index=False)),
    comment="The grids of a draft that differ from its base; without a grid it is gone. Code '' is nobody.",
)

plan_choices = Table(
    "plan_choices",
    metadata,
    Column("plan_id", sa.BigInteger, ForeignKey("plans.id"), primary_key=True),
    Column("code", sa.Text, primary_key=True),
    Column("take", sa.Text, nullable=False),
    Column("mark", sa.Text, nullable=False),
    _one_of("take", ("mine", "theirs")),
    comment="Conflicts that were decided; mark = the two versions that were seen then.",
)

lineage = Table(
    "lineage",
    metadata,
    Column("revision", sa.Integer, ForeignKey("revisions.id"), primary_key=True),
    Column("before_code", sa.Text, primary_key=True),
    Column("after_code", sa.Text, primary_key=True),
    Column("scheme", sa.Text, nullable=False),
    Column("kind", sa.Text, nullable=False),
    Column("area_share", sa.Double, nullable=False),
    Column("household_share", sa.Double, nullable=False),
    Column("building_share", sa.Double, nullable=False),
    _one_of("kind", KINDS),
    # Usage: what became of a grid, and where did it come from?
    Index("ix_lineage_scheme_before_code", "scheme", "before_code"),
    Index("ix_lineage_scheme_after_code", "scheme", "after_code"),
    comment="Where the ground of each changed grid went; the shares of one before_code sum to 1.",
)
