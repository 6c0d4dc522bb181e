#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the micro-benchmarks and the whole runs of bench/cases with the programs in build/bench; see bench/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/bench

micro=()
for program in $build/bin/*_bench; do
  [ -x "$program" ] || continue
  echo "limn: running $(basename "$program")" >&2
  "$program" --benchmark_format=json --benchmark_min_time=0.2 --benchmark_repetitions=3 >"$program.json"
  micro+=("$program.json")
done
python3 tools/bench.py $build/bin/limn bench/cases $build/results.jsonl ${micro[@]+"${micro[@]}"}
echo "limn: results are in $build/results.jsonl"
