#!/usr/bin/env bash
# Stops what the demo started: the service, and the private cluster unless the word "service" is given.
. "$(dirname "$0")/common.sh"

stop_service() {
  local pid
  pid=$(cat "$service_pid")
  kill "$pid"
  for _ in $(seq 100); do
    alive "$service_pid" || return 0
    sleep 0.1
  done
  kill -9 "$pid"
}

if alive "$service_pid"; then step "service stopped" stop_service; fi
rm -f "$service_pid"
if [ "${1:-}" != service ] && [ -x .venv/bin/safetymap ]; then told "cluster" .venv/bin/safetymap db down; fi
