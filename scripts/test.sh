#!/usr/bin/env bash
# Runs pytest with the given words.
. "$(dirname "$0")/common.sh"
scripts/setup.sh test
borrow_cluster
# Before several ask for it at once.
.venv/bin/python -c 'from gis import db; db.url()'
.venv/bin/python -m pytest "$@"
