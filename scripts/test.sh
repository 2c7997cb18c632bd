#!/usr/bin/env bash
# Runs pytest with the given words.
. "$(dirname "$0")/common.sh"
scripts/setup.sh test
borrow_cluster
.venv/bin/python -m pytest "$@"
