# shellcheck shell=bash disable=SC2034
# Sourced by the scripts beside it: where we are, which settings hold, and how a step is told.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export LC_ALL=C.UTF-8
export UV_PYTHON_DOWNLOADS=never # the system's Python serves
unset VIRTUAL_ENV                # somebody else's environment is not ours
unset PYTHONDONTWRITEBYTECODE    # else every process compiles its libraries anew: seconds each

uv_version=0.13.9
data=${SAFETYMAP_DATA_DIR:-$PWD/.data}
uv=$data/tools/uv-$uv_version/bin/uv
export STEP_LOG=${STEP_LOG:-$data/logs/$(basename "$0" .sh).log} # a script started by another writes into its log
log=$STEP_LOG
service_pid=$data/service.pid
port=${SAFETYMAP_PORT:-8000}

mkdir -p "$data/logs"
printf '# %s %s\n' "$(date -u +%FT%TZ)" "$0 $*" >>"$log"

say() { printf '%s\n' "$*" | tee -a "$log"; }

fail() {
  say "error: $*"
  exit 1
}

# step TITLE COMMAND…: runs the command with its output in the log, and tells the time it took. Inside a function
# given here set -e does not hold: join commands with &&.
step() {
  local title=$1 begun=${EPOCHREALTIME/./}
  shift
  printf '== %s\n' "$title" >>"$log"
  if ! "$@" >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "$title failed; the whole story is in ${log#"$PWD/"}"
  fi
  took "$title" "$begun"
}

# told TITLE COMMAND…: as step, but what the command says is shown as well.
told() {
  local title=$1 begun=${EPOCHREALTIME/./}
  shift
  "$@" 2>&1 | tee -a "$log" || fail "$title failed; the whole story is in ${log#"$PWD/"}"
  took "$title" "$begun"
}

took() { say "$(awk -v us=$((${EPOCHREALTIME/./} - $2)) -v what="$1" 'BEGIN { printf "%7.1f s  %s", us / 1e6, what }')"; }

# alive FILE: whether the service whose process id the file holds still runs.
alive() { [ -s "$1" ] && tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$1")/cmdline" | grep -q 'safetymap serve'; }

# Stops the private cluster at the end if it does not run now.
borrow_cluster() {
  [ -z "${SAFETYMAP_DATABASE_URL:-}" ] || return 0
  .venv/bin/python - <<'PY' || trap '.venv/bin/safetymap db down' EXIT
import sys

from gis import cluster
from gis.settings import settings

sys.exit(cluster.running(settings().data_dir) is None)
PY
}
