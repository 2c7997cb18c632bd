#!/usr/bin/env bash
# Does what docs/deploy.md says on a clean Debian 12, as root from the project's folder, and tests it: everything but systemd itself.
# SAFETYMAP_TRY_PORTS="8443 8080 8000": the ports of TLS, of plain HTTP and of the service.
set -euo pipefail
cd "$(dirname "$0")/.."
read -r tls plain inner <<<"${SAFETYMAP_TRY_PORTS:-8443 8080 8000}"
naive=$((plain + 1))
home=/opt/safety-map state=/var/lib/safety-map data=/var/lib/safety-map/data name=map.example
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

part() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
# is WHAT EXPECTED FOUND
is() { [ "$2" = "$3" ] || fail "$1: expected $2, found $3"; printf 'ok  %s: %s\n' "$1" "$3"; }
has() { grep -qiE -- "$2" <<<"$3" || fail "$1: no $2 in: $3"; printf 'ok  %s\n' "$1"; }
as_user() { runuser -u safetymap -- env -C "$state" $(grep -v '^#' /etc/safety-map/safetymap.env) "$@"; }
map() { as_user "$home/.venv/bin/safetymap" "$@"; }
# exec_of UNIT LINE: what the unit runs, as its user.
exec_of() { as_user $(sed -n "s/^$2=//p" "/etc/systemd/system/$1"); }
main() { pgrep -u safetymap -of "$home/.venv/bin/safetymap serve"; }
serve() { exec_of safetymap.service ExecStart >>/var/log/safetymap.log 2>&1 & await; }
await() { for _ in $(seq 240); do curl -sf "http://127.0.0.1:$inner/health/live" >/dev/null && return; sleep 0.5; done; tail /var/log/safetymap.log; fail "the service does not start"; }
stop() { kill "$(main)" && while main >/dev/null; do sleep 0.2; done; }
ask() { curl -s --noproxy '*' --cacert "$home/ca.pem" --resolve "$name:$tls:127.0.0.1" "$@"; }
url=https://$name:$tls
status() { ask -o /dev/null -w '%{http_code}' "$@"; }
tell() { psql_of -c "$1"; }
psql_of() { as_user psql -XAt "$(map db url)" "$@"; }
# workers: the processes that answer requests, which are children of the one that was started.
workers() { pgrep -P "$(main)" -f spawn_main; }
trap 'nginx -s stop 2>/dev/null; main >/dev/null && stop; map db down >/dev/null 2>&1 || true' EXIT

part "install"
git clone -q . "$home"
(cd "$home" && scripts/setup.sh run)
apt-get install -y -q --no-install-recommends nginx curl openssl logrotate systemd procps adduser >/dev/null 2>&1
adduser --quiet --system --group --home "$state" --no-create-home safetymap
install -d -o safetymap -g safetymap -m 0700 "$state" /backup/city
install -d -o root -g safetymap -m 0750 /etc/safety-map
sed "s/PORT=8000/PORT=$inner/" "$home/deploy/safetymap.env" | install -o root -g safetymap -m 0640 /dev/stdin /etc/safety-map/safetymap.env
install -m 0644 "$home"/deploy/*.service /etc/systemd/system/

part "units"
systemd-analyze verify --man=no --recursive-errors=no /etc/systemd/system/safetymap{,-db}.service
for unit in safetymap safetymap-db; do
  systemd-analyze security --offline=true --threshold=35 --no-pager "/etc/systemd/system/$unit.service" | tail -1
done
exec_of safetymap-db.service ExecStart
[ -s "$(sed -n 's/^PIDFile=//p' /etc/systemd/system/safetymap-db.service)" ] || fail "no PIDFile"
is "user of the database" safetymap "$(stat -c %U "/proc/$(head -1 $data/pg/data/postmaster.pid)")"

part "a city"
SAFETYMAP_SIZE=small runuser -u safetymap -- env -C "$state" SAFETYMAP_SIZE=small SAFETYMAP_DATA_DIR="$data" "$home/.venv/bin/safetymap" demo zhuzhou
map refresh
serve
is "processes" 2 "$(workers | wc -l)"
key=$(map key create --role commander --label "Duty desk" --days 1 | grep -o 'smk_[A-Za-z0-9_-]*')

part "nginx"
install -d -m 0700 /etc/safety-map/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$name" -addext "subjectAltName=DNS:$name" \
  -keyout /etc/safety-map/tls/privkey.pem -out /etc/safety-map/tls/fullchain.pem 2>/dev/null
cp /etc/safety-map/tls/fullchain.pem "$home/ca.pem"
sed -e "s/443/$tls/; s/listen 80;/listen $plain;/; s/:80;/:$plain;/; s/127.0.0.1:8000/127.0.0.1:$inner/" "$home/deploy/nginx.conf" >/etc/nginx/sites-available/safetymap
ln -sf ../sites-available/safetymap /etc/nginx/sites-enabled/ && rm -f /etc/nginx/sites-enabled/default
# A second one as people write it first: default headers, which tell the service nothing.
echo "server { listen 127.0.0.1:$naive; location / { proxy_pass http://127.0.0.1:$inner; } }" >/etc/nginx/sites-enabled/naive
nginx -t && nginx
is "TLS 1.3" 200 "$(status --tlsv1.3 "$url/health/ready")"
is "TLS 1.2" 200 "$(status --tls-max 1.2 "$url/health/ready")"
is "TLS 1.1" 000 "$(status --tlsv1.1 --tls-max 1.1 "$url/health/ready" || true)"
is "plain HTTP" 301 "$(curl -s -o /dev/null -w '%{http_code}' -H "Host: $name" "http://127.0.0.1:$plain/")"
is "another name" 000 "$(curl -sk -o /dev/null -w '%{http_code}' "https://127.0.0.1:$tls/" || true)"
is "another Host under our name" 000 "$(status -H 'Host: evil.example' "$url/" || true)"
is "metrics from elsewhere" 403 "$(status --interface 127.0.0.2 "$url/metrics")"
head=$(ask -D- -o /dev/null "$url/")
has "HSTS" '^strict-transport-security: max-age=31536000' "$head"
opened=$(ask -D- -o /dev/null -H 'Content-Type: application/json' -d "{\"key\": \"$key\"}" "$url/session")
has "cookie of https" '^set-cookie: __Host-safetymap=.*Secure' "$opened"
has "links of https" "$url/tiles" "$(ask "$url/tiles/grids.json")"
ask -o /dev/null --interface 127.0.0.2 -H 'X-Forwarded-For: 203.0.113.66' "$url/city?seen=1"
sleep 1
has "the client's own address, not one it forges" '"client":"127.0.0.2"' "$(grep '"/city"' /var/log/safetymap.log | tail -1)"
has "the stream" '^: live' "$(ask -N --max-time 3 "$url/events" || true)"

part "demo log-ins"
for to in "$url" "http://127.0.0.1:$naive"; do
  is "list, $to" '[]' "$(ask "$to/session/demo")"
  is "log-in, $to" 422 "$(status -H 'Content-Type: application/json' -d '{"demo": "admin"}' "$to/session")"
done
is "live demo keys" 0 "$(tell 'SELECT count(*) FROM access_keys WHERE demo AND revoked_at IS NULL')"
has "no demo behind a proxy" 'this machine alone' "$(map serve --demo 2>&1 || true)"
stop
runuser -u safetymap -- env -C "$state" SAFETYMAP_DATA_DIR="$data" "$home/.venv/bin/safetymap" serve --demo --port "$inner" >>/var/log/safetymap.log 2>&1 &
await
is "even a demo, through nginx" 404 "$(status -H 'Content-Type: application/json' -d '{"demo": "admin"}' "$url/session")"
is "even a demo, default headers" 401 "$(status -H 'Content-Type: application/json' -d '{"demo": "admin"}' "http://127.0.0.1:$naive/session")"
stop
serve

part "a killed process"
victim=$(workers | head -1)
kill -9 "$victim"
for n in $(seq 20); do [ "$(status "$url/health/live")" = 200 ] || echo "request $n was not answered"; sleep 0.25; done
is "processes" 2 "$(workers | wc -l)"
workers | grep -qx "$victim" && fail "it is still there"

part "backup and the way back"
map backup setup --to /backup/city
stop
exec_of safetymap-db.service ExecStop
exec_of safetymap-db.service ExecStart
serve
map backup
map backup verify
map backup timer --into "$state" >/dev/null
has "the timer's user" '^User=safetymap' "$(cat "$state/safetymap-backup.service")"
rows="SELECT count(*), sum(hashtext(i::text)) FROM incidents i"
before=$(tell "$rows")
sleep 2
moment=$(date -u +%FT%TZ)
sleep 2
tell "UPDATE incidents SET description = 'lost'" >/dev/null
[ "$(tell "$rows")" != "$before" ] || fail "nothing was lost"
map restore --at "$moment" --into "$state/restored"
stop
exec_of safetymap-db.service ExecStop
map swap "$state/restored"
exec_of safetymap-db.service ExecStart
serve
is "incidents after the way back" "$before" "$(tell "$rows")"
is "the service" 200 "$(status "$url/health/ready")"
is "the key" 200 "$(status -H "Authorization: Bearer $key" "$url/collections/incidents/items?limit=1")"
is "no key" 401 "$(status "$url/collections/incidents/items?limit=1")"
for inside in "$data/inside" "$data/../data/inside/deeper" "$data"; do
  has "no restore into $inside" 'lies inside' "$(map restore --into "$inside" 2>&1 || true)"
done
[ -e "$data/inside" ] && fail "it was begun"

part "a new version, and the way back"
revision() { tell 'SELECT version_num FROM alembic_version'; }
newest=$(revision)
stop
as_user "$home/.venv/bin/python" - <<'END'
"""Bring the store one revision back, to what the program before made of it."""
from alembic import command

from gis import db, migrate

with db.work_engine().begin() as conn:
    command.downgrade(migrate._config(conn), "-1")
END
former=$(revision)
[ "$former" != "$newest" ] || fail "the store is not of an earlier revision"
told=$(map upgrade)
is "revision" "$newest" "$(revision)"
has "a backup before it" 'backup .*: .* MB' "$told"
way=$(sed -n 's/^ *safetymap restore/restore/p' <<<"$told")
[ -n "$way" ] || fail "no way back in: $told"
serve
is "the service after it" 200 "$(status "$url/health/ready")"
has "nothing left to do" "of revision $newest already" "$(map upgrade)"
map ${way%% &&*}
stop
exec_of safetymap-db.service ExecStop
map ${way##*&& safetymap }
is "revision on the way back" "$former" "$(revision)"
exec_of safetymap-db.service ExecStart
is "revision once it is started" "$newest" "$(revision)"
serve
is "incidents" "$before" "$(tell "$rows")"

part "logs"
install -m 0644 "$home/deploy/logrotate" /etc/logrotate.d/safetymap
logrotate -f /etc/logrotate.d/safetymap
[ -e "$data/pg/server.log.1" ] || fail "the database's log was not rotated"
printf '\nAll of it holds.\n'
