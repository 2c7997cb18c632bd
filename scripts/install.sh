#!/usr/bin/env bash
# Installs what is missing and makes the empty store; loads no demo.
. "$(dirname "$0")/common.sh"
scripts/setup.sh run
told "database" .venv/bin/safetymap db up
say "Installed. A city of your own: docs/own-city.md (自建城市: docs/own-city.zh-CN.md)."
