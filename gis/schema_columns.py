"""Columns and indexes that the tables of the store have in common."""

import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index

from gis.cells import RESOLUTIONS
from gis.crs import WGS84


def identity() -> Column[int]:
    """Stable feature ids: vector tiles need bigint below 2^53."""
    return Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True)


def geometry(kind: str, name: str = "geom", *, nullable: bool = False) -> Column[object]:
    """Return a WGS-84 geometry; its index is named where its use is told."""
    return Column(name, Geometry(kind, srid=WGS84, spatial_index=False), nullable=nullable)


def provenance(*, batch: bool = True) -> list[Column[object]]:
    """Whence a row came: source system, its id there, and the batch that brought it last, if one did."""
    return [
        Column("origin", sa.Text, nullable=False),
        Column("origin_id", sa.Text, nullable=False),
        Column("batch_id", sa.BigInteger, ForeignKey("batches.id"), nullable=not batch),
    ]


def cell_columns() -> list[Column[object]]:
    """The point's cell at each served resolution, indexed directly, null where it has no place."""
    return [Column(f"cell_{res}", sa.BigInteger) for res in RESOLUTIONS]


def address_ranges() -> list[Column[object]]:
    """House numbers of each side of a line, as it is drawn: at its start, at its end, and which of them."""
    return [
        Column(f"{side}_{what}", sa.Text if what == "parity" else sa.Integer)
        for side in ("left", "right")
        for what in ("from", "to", "parity")
    ]


def text(name: str, *, required: bool = False) -> Column[object]:
    """Return a column of text."""
    return Column(name, sa.Text, nullable=not required)


def key(of: str) -> Column[object]:
    """A text as it is looked for: width, case, brackets, spaces, dashes and old characters folded away."""
    return Column(f"{of}_key", sa.Text, sa.Computed(f"fold_text({of})", persisted=True))


def by_key(table: str, of: str) -> Index:
    """Return the index of a folded text, for whole texts and beginnings alike."""
    return Index(f"ix_{table}_{of}_key", f"{of}_key", postgresql_ops={f"{of}_key": "text_pattern_ops"})


def by_end(table: str, of: str) -> Index:
    """Return the index of a folded text from its end, so that regions before it may be left out."""
    return Index(f"ix_{table}_{of}_end", sa.text(f"reverse({of}_key) text_pattern_ops"))


def by_street(table: str, of: str) -> Index:
    """Return the index of a folded address from its street on, for beginnings."""
    return Index(f"ix_{table}_{of}_street", sa.text(f"street_part({of}_key) text_pattern_ops"))


def by_words(table: str, column: str) -> sa.Index:
    """Return the index of an address by the words of its street and its numbers (revision 0035)."""
    words = sa.text(f"address_words({column}_key)")
    return sa.Index(f"ix_{table}_{column}_words", words, postgresql_using="gin")


def by_grams(table: str, of: str) -> Index:
    """Return the index of pairs of neighbouring signs of a folded name, for words anywhere in it."""
    return Index(
        f"ix_{table}_{of}_grams", sa.text(f"grams({of}_key)"),
        postgresql_using="gin", postgresql_with={"fastupdate": "off"},
    )  # fmt: skip


def one_of(column: str, allowed: tuple[str, ...]) -> CheckConstraint:
    """Return the rule that a column holds one of the allowed words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in allowed)})", name=column)


def spatial(table: str, column: str = "geom") -> Index:
    """Return the index of a geometry."""
    return Index(f"ix_{table}_{column}", column, postgresql_using="gist")
