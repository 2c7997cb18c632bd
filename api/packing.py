"""A layer packed into an archive of tiles: the very tiles that whoever may see it is served."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.engine import Connection

from api.access import demand
from api.cutting import looking_at
from api.deps import Look, view
from api.maps import fields
from gis import city, grids
from gis.access import Principal
from gis.errors import BadInput
from gis.grids import Wish
from layers.catalogue import Layer
from layers.view import View
from tiles import archive, mvt, tilejson
from tiles.archive import Imprint
from tiles.styles import FINEST_ZOOM
from tiles.tile import Tile

Telling = Callable[[Sequence[Tile]], Iterable[Tile]]
"""Goes through tiles, telling how far it is."""
_PLAIN = Look(Wish(), None, None, None, None, None, None)


@dataclass(frozen=True)
class Zooms:
    """Zooms asked for; None: as far as the layer goes, and no nearer than FINEST_ZOOM."""

    first: int | None = None
    last: int | None = None

    def of(self, layer: Layer) -> range:
        """Return the zooms. Raises BadInput for those at which the layer has no tiles."""
        first = layer.minzoom if self.first is None else self.first
        last = min(layer.maxzoom, FINEST_ZOOM) if self.last is None else self.last
        if not layer.minzoom <= first <= last <= layer.maxzoom:
            has = f"layer {layer.name} has tiles from zoom {layer.minzoom} to {layer.maxzoom}"
            raise BadInput("minzoom, maxzoom", f"{has}, not from {first} to {last}")
        return range(first, last + 1)


def pack(
    conn: Connection, layer: Layer, file: Path, who: Principal, zooms: range, telling: Telling = iter
) -> int:
    """Write what `who` is served of a layer into an archive; return the number of its tiles.

    `conn` should see one state of the database throughout (REPEATABLE READ). Raises Forbidden where the role
    may not see the layer, NotFound where there is no grid of the scope's code.
    """
    demand(who, layer.audience)
    seen = view(conn, _PLAIN, who)
    if seen.scope is not None:
        grids.grid(conn, seen.scope[1], seen.scope[0])
    found = [
        square
        for zoom in zooms
        for square in archive.touched(conn, layer.select(replace(seen, zoom=zoom)), zoom)
    ]
    cuts = {z: mvt.cut(layer.select(looking_at(seen, z)), layer.name, z) for z in zooms}
    tiles = ((square, cuts[square.z].run(mvt.driver_of(conn), square)) for square in telling(found))
    imprint = Imprint(
        layer.name, who.role, seen.scheme, who.scope, seen.on.isoformat(), seen.known, city.data_version(conn)
    )
    return archive.write(file, tiles, _told(conn, layer, seen, zooms), imprint)


def _told(conn: Connection, layer: Layer, seen: View, zooms: range) -> dict[str, object]:
    bounds, attribution = city.extent(conn, seen.scheme), city.the_city(conn).attribution
    return tilejson.document(layer.name, "", (zooms[0], zooms[-1]), bounds, fields(layer.name), attribution)
