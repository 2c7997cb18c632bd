"""Frames as sources: apart from `source`, since files are read without pandas and geopandas."""

import hashlib

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa

from gis.importing.source import Source, numbered


def from_frame(frame: pd.DataFrame, name: str) -> Source:
    """Return a frame, with or without geometry, as a source; its digest is that of its columns."""
    geometry, crs = None, None
    if isinstance(frame, gpd.GeoDataFrame):
        geometry, crs = np.asarray(frame.geometry.array, dtype=object), frame.crs and str(frame.crs)
        frame = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return Source(
        name=name,
        sha256=_table_digest(table),
        columns=tuple(table.column_names),
        chunks=lambda: numbered(iter([(table, geometry)])),
        has_geometry=geometry is not None,
        crs=crs,
        total=table.num_rows,
    )


def _table_digest(table: pa.Table) -> str:
    sink = hashlib.sha256()
    for batch in table.to_batches():
        sink.update(batch.serialize())
    return sink.hexdigest()
