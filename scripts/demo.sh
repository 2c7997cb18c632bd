#!/usr/bin/env bash
# Shows the demo city: installs what is missing, loads the city, serves it in the background, prints the address.
. "$(dirname "$0")/common.sh"
. scripts/service.sh
city=${SAFETYMAP_CITY:-zhuzhou}

check_port
scripts/setup.sh run
told "database" .venv/bin/safetymap db up
told "demo city $city" .venv/bin/safetymap demo "$city"
told "layers" .venv/bin/safetymap refresh
serve /health/ready --demo
# Not in the log: the link lets one browser in.
printf '%s\n  %s\n' "Its log-ins open in the browser that follows this link, once (another: .venv/bin/safetymap demo-link):" \
  "$(.venv/bin/safetymap demo-link)"
