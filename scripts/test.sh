#!/usr/bin/env bash
# Runs a program (pytest with some words, a benchmark) with everything tests need; a private cluster that it had to
# start is stopped again.
. "$(dirname "$0")/common.sh"

is_running='import sys; from gis import cluster, settings; sys.exit(not cluster.running(settings.settings().data_dir))'

scripts/setup.sh test
if [ -z "${SAFETYMAP_DATABASE_URL:-}" ] && ! .venv/bin/python -c "$is_running"; then
  trap '.venv/bin/safetymap db down' EXIT
fi
.venv/bin/python -m "$@"
