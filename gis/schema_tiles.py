"""What makes tiles cheap: squares of points, counts by square, simpler grids; migrations equal this."""

import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy import Column, ForeignKey, Index, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import DATERANGE

from gis.crs import WEB_MERCATOR
from gis.schema import metadata

POINTS = {
    "buildings": "point", "cameras": "geom", "incidents": "geom", "places": "point", "responders": "geom",
}  # fmt: skip
"""Table: the column of the point by which a feature is counted."""


def _number_points(table: str, point: str) -> None:
    """Add the number of the square in which each point lies (gis.squares)."""
    numbered = Column("square", sa.BigInteger, sa.Computed(f"square_of({point})", persisted=True))
    metadata.tables[table].append_column(numbered)
    if table != "buildings":
        # Usage: the points of one tile, which is a range of numbers; how many lie in each square of it.
        Index(f"ix_{table}_square", numbered)


for _table, _point in POINTS.items():
    _number_points(_table, _point)

square_counts = Table(
    "square_counts",
    metadata,
    Column("layer", sa.Text, nullable=False),
    Column("square", sa.BigInteger, nullable=False),
    Column("kind", sa.Text, nullable=False),
    Column("count", sa.BigInteger, nullable=False),
    Column("weight", sa.BigInteger, nullable=False),
    Column("x", sa.BigInteger, nullable=False),
    Column("y", sa.BigInteger, nullable=False),
    # Usage: the squares of one depth in a tile: a range of numbers.
    Index("ix_square_counts_layer_square", "layer", "square"),
    comment="Features by square; rows of one square and kind are added up: writers only ever append to them.",
)

shaped_coverages = Table(
    "shaped_coverages",
    metadata,
    Column("id", sa.Integer, sa.Identity(always=False), primary_key=True),
    Column("scheme", sa.Text, ForeignKey("schemes.name"), nullable=False),
    Column("revision", sa.Integer, ForeignKey("revisions.id"), nullable=False),
    Column("valid", DATERANGE, nullable=False),
    # Usage: are the grids of this revision and day at hand in simpler shapes?
    UniqueConstraint("scheme", "revision", "valid"),
    comment="Records of grids that were simplified as a whole: revision = the scheme's last change.",
)

grid_shapes = Table(
    "grid_shapes",
    metadata,
    Column(
        "coverage_id", sa.Integer, ForeignKey("shaped_coverages.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("zoom", sa.SmallInteger, primary_key=True, autoincrement=False),
    Column("row_id", sa.BigInteger, ForeignKey("grids.id", ondelete="CASCADE"), primary_key=True),
    Column("geom", Geometry("MULTIPOLYGON", srid=WEB_MERCATOR, spatial_index=False), nullable=False),
    # Usage: the shapes of one zoom in a tile.
    Index("ix_grid_shapes_geom", "geom", postgresql_using="gist"),
    comment="Grids as they are drawn at a zoom: simplified together, so that neighbours still touch.",
)

footprints = Table(
    "footprints",
    metadata,
    Column("x", sa.Integer, primary_key=True, autoincrement=False),
    Column("y", sa.Integer, primary_key=True),
    Column("id", sa.BigInteger, primary_key=True),
    Column("kind", sa.Text),
    Column("floors", sa.SmallInteger),
    Column("households", sa.Integer),
    Column("geom", Geometry("GEOMETRY", srid=0, spatial_index=False), nullable=False),
    comment="Buildings by tile of zoom 14, in its units, 4096 to a side; in several tiles where they touch "
    "their margins.",
)
