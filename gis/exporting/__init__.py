"""The record as files that import again unchanged."""
