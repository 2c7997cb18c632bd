"""Backups by pgbackrest of all that an installation cannot make anew, and the way back from them."""
