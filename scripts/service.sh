# shellcheck shell=bash
# Sourced after common.sh by the scripts that serve: the port, starting in the background, waiting, stopping.

is_taken() { (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

# ours: whether the service of this installation runs, and on the wanted port.
ours() { alive "$service_pid" && tr '\0' ' ' <"/proc/$(cat "$service_pid")/cmdline" | grep -q -- "--port $port "; }

# Before any work: a port that another program has would end it in vain.
check_port() {
  if is_taken && ! ours; then fail "port $port is taken by another program; set SAFETYMAP_PORT to a free one."; fi
}

stop_service() { if alive "$service_pid"; then scripts/down.sh service; fi; }

start_service() {
  setsid .venv/bin/safetymap serve --port "$port" "$@" </dev/null >>"$data/logs/service.log" 2>&1 &
  echo $! >"$service_pid"
}

answers() { .venv/bin/python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port$1', timeout=2)" 2>/dev/null; }

# listens: whether the service itself listens on the port; while it starts another program may have taken it and answer.
listens() {
  local sockets
  sockets=$(awk -v port=":$(printf %04X "$port")$" '$4 == "0A" && $2 ~ port { print "socket:[" $10 "]" }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  readlink "/proc/$(cat "$service_pid")/fd/"* 2>/dev/null | grep -qxF "$sockets"
}

# Waits a minute for the service at a path; one that is not there by then is stopped, its last words are shown.
wait_ready() {
  for _ in $(seq 150); do
    listens && answers "$1" && return
    alive "$service_pid" || break
    sleep 0.2
  done
  stop_service
  tail -n 10 "$data/logs/service.log"
  return 1
}

# serve PATH [OPTION…]: serves in the background, and prints the address once PATH answers.
serve() {
  local path=$1
  shift
  stop_service
  check_port
  start_service "$@"
  step "service" wait_ready "$path"
  say "The safety map is at http://127.0.0.1:$port  (log: ${data#"$PWD/"}/logs/service.log, stop it with: make down)"
}
