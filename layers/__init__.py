"""What is shown: the catalogue of layers, counts, hotspots and risk; knows only gis."""
