"""Tiles against named tile servers, on the same database, by the same client, in the same minutes."""
