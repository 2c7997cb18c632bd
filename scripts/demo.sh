#!/usr/bin/env bash
# Shows the demo city: installs what is missing, loads the city, serves it in the background, prints the address.
. "$(dirname "$0")/common.sh"
city=${SAFETYMAP_CITY:-zhuzhou}

is_taken() { (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

stop_service() { if alive "$service_pid"; then scripts/down.sh service; fi; }

start_service() {
  setsid .venv/bin/safetymap serve --port "$port" </dev/null >>"$data/logs/service.log" 2>&1 &
  echo $! >"$service_pid"
}

# Waits a minute for the service; one that is not ready by then is stopped, and its last words are shown.
wait_ready() {
  local ready="import urllib.request as u; u.urlopen('http://127.0.0.1:$port/health/ready', timeout=2)"
  for _ in $(seq 150); do
    .venv/bin/python -c "$ready" 2>/dev/null && alive "$service_pid" && return
    alive "$service_pid" || break
    sleep 0.2
  done
  stop_service
  tail -n 10 "$data/logs/service.log"
  return 1
}

scripts/setup.sh run
told "database" .venv/bin/safetymap db up
told "demo city $city" .venv/bin/safetymap demo "$city"
told "layers" .venv/bin/safetymap refresh
stop_service
if is_taken; then fail "port $port is taken by another program; set SAFETYMAP_PORT to a free one."; fi
start_service
step "service" wait_ready
say "The safety map is at http://127.0.0.1:$port  (log: ${data#"$PWD/"}/logs/service.log, stop it with: make down)"
