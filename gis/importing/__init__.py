"""Bringing files into the store: read, map, parse, place, own, stage, merge; one transaction per file."""
