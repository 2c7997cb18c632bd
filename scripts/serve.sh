#!/usr/bin/env bash
# Serves the city of this installation in the background and prints the address; what it lacks, it says.
. "$(dirname "$0")/common.sh"
. scripts/service.sh

check_port
scripts/setup.sh run
told "database" .venv/bin/safetymap db up
told "city" .venv/bin/safetymap city show
serve /health/live
