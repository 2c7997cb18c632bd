#!/usr/bin/env bash
# Prints the ratios against named peers: every program bench/bench_*.py in turn.
. "$(dirname "$0")/common.sh"
scripts/setup.sh test
borrow_cluster
for program in bench/bench_*.py; do
  .venv/bin/python -m "bench.$(basename "$program" .py)"
done
