#!/usr/bin/env bash
# Checks style and types.
. "$(dirname "$0")/common.sh"
scripts/setup.sh lint
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
