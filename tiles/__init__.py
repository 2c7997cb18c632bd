"""How it is cut: vector tiles, TileJSON and styles; knows only gis."""
