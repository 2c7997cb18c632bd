"""Footprints of buildings as a tile of zoom 14 draws them, so that it need not place thousands each time."""

from alembic import op

revision = "0007"
down_revision = "0006"

SERVICE = "safetymap_service"

_TABLE = """
CREATE TABLE footprints (
    x INTEGER NOT NULL,
    y INTEGER NOT NULL,
    id BIGINT NOT NULL,
    kind TEXT,
    floors SMALLINT,
    households INTEGER,
    geom geometry(GEOMETRY,0) NOT NULL,
    CONSTRAINT pk_footprints PRIMARY KEY (x, y, id)
);

COMMENT ON TABLE footprints IS 'Buildings by tile of zoom 14, in its units, 4096 to a side; in several tiles where they touch their margins.'
"""

# Without settings of their own, so that they become part of the statement that calls them.
_FUNCTIONS = """
-- The tiles of zoom 14 that the box of a part of a shape or their margins of 1/64 can touch.
CREATE FUNCTION tiles_touched(shape geometry) RETURNS TABLE (x int, y int)
IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
  SELECT DISTINCT c, r FROM ST_Dump(shape) part,
    generate_series(
      greatest(0, floor(plane_x(ST_XMin(part.geom)) * 16384 - 0.016)::int),
      least(16383, floor(plane_x(ST_XMax(part.geom)) * 16384 + 0.016)::int)) c,
    generate_series(
      greatest(0, floor(plane_y(ST_YMax(part.geom)) * 16384 - 0.016)::int),
      least(16383, floor(plane_y(ST_YMin(part.geom)) * 16384 + 0.016)::int)) r
$$;

-- How many degrees the widest part of a shape is across: what crosses the antimeridian has two.
CREATE FUNCTION widest_part(shape geometry) RETURNS float8 IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
  SELECT max(greatest(ST_XMax(geom) - ST_XMin(geom), ST_YMax(geom) - ST_YMin(geom))) FROM ST_Dump(shape)
$$;

-- The latitude of the edge between two rows of tiles, within what PostGIS can bring to the mercator plane.
CREATE FUNCTION edge_latitude(y float8) RETURNS float8 IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
  $$ SELECT degrees(atan(sinh(pi() * (1 - 2 * y / 16384)))) $$;

-- A shape as each of those tiles draws it; the same as tiles.mvt._outlines, which a test compares.
CREATE FUNCTION drawn_in_tiles(shape geometry) RETURNS TABLE (x int, y int, geom geometry)
IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
  SELECT x, y, geom FROM (
    SELECT c AS x, r AS y,
      CASE WHEN shape @ ST_MakeEnvelope(
        greatest(-180, (c - 1) * 360 / 16384.0::float8 - 180), greatest(-85.051128779806, edge_latitude(r + 2)),
        least(180, (c + 2) * 360 / 16384.0::float8 - 180), least(85.051128779806, edge_latitude(r - 1)), 4326)
      THEN ST_SnapToGrid(ST_Affine(ST_ForcePolygonCW(shape), 16384 * 4096 / 360.0::float8, 0, 0, -down,
        -(c * 360 / 16384.0::float8 - 180) * (16384 * 4096 / 360.0::float8), edge_latitude(r) * down), 1)
      ELSE ST_AsMVTGeom(ST_Transform(shape, 3857), ST_TileEnvelope(14, c, r), 4096, 64, true) END AS geom
    FROM tiles_touched(shape) t(c, r),
      LATERAL (SELECT 4096 / (edge_latitude(r) - edge_latitude(r + 1)) AS down) scale
    WHERE shape && ST_MakeEnvelope(
      greatest(-180, (c - 0.015625) * 360 / 16384.0::float8 - 180),
      greatest(-85.051128779806, edge_latitude(r + 1.015625)),
      least(180, (c + 1.015625) * 360 / 16384.0::float8 - 180),
      least(85.051128779806, edge_latitude(r - 0.015625)), 4326)
    OFFSET 0
  ) placed WHERE ST_Dimension(geom) < 2 OR ST_Area(geom) > 0
$$;

-- Keeps the footprints true in the very transaction that changes buildings.
CREATE FUNCTION keep_footprints() RETURNS trigger
SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM footprints;
  END IF;
  IF TG_OP IN ('DELETE', 'UPDATE') THEN
    DELETE FROM footprints f USING old_rows b, tiles_touched(b.geom) t
    WHERE (f.x, f.y, f.id) = (t.x, t.y, b.id);
  END IF;
  IF TG_OP IN ('INSERT', 'UPDATE') THEN
    INSERT INTO footprints
    SELECT d.x, d.y, b.id, b.kind, b.floors, b.households, d.geom
    FROM new_rows b, drawn_in_tiles(b.geom) d ORDER BY d.x, d.y, b.id;
  END IF;
  RETURN NULL;
END $$;
"""
_NAMES = ("keep_footprints", "drawn_in_tiles", "edge_latitude", "widest_part", "tiles_touched")

_NO_WIDER = "widest_part(geom) <= 0.2"

_EVENTS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "truncate": "",
}


def upgrade() -> None:
    """Bound what a building is, place every one, and let every change of one be followed."""
    for statement in (*_TABLE.split(";\n"), *_FUNCTIONS.split("\n\n")):
        op.get_bind().exec_driver_sql(statement)
    op.execute(f"ALTER TABLE buildings ADD CONSTRAINT ck_buildings_no_wider_than_one_is CHECK ({_NO_WIDER})")
    for name in _NAMES:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC")
    op.execute(
        "INSERT INTO footprints SELECT d.x, d.y, b.id, b.kind, b.floors, b.households, d.geom "
        "FROM buildings b, drawn_in_tiles(b.geom) d ORDER BY d.x, d.y, b.id"
    )
    for event, seen in _EVENTS.items():
        op.execute(
            f"CREATE TRIGGER keeps_footprints_{event} AFTER {event} ON buildings {seen} "
            "FOR EACH STATEMENT EXECUTE FUNCTION keep_footprints()"
        )
    op.execute("ALTER TABLE footprints ENABLE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT ON footprints TO {SERVICE}")
    op.execute(f"CREATE POLICY sees ON footprints FOR SELECT TO {SERVICE} USING (true)")


def downgrade() -> None:
    """Take them away."""
    for event in _EVENTS:
        op.execute(f"DROP TRIGGER keeps_footprints_{event} ON buildings")
    op.execute("ALTER TABLE buildings DROP CONSTRAINT ck_buildings_no_wider_than_one_is")
    op.execute("DROP TABLE footprints")
    for name in _NAMES:
        op.execute(f"DROP FUNCTION {name}")
