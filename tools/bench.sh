#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the micro-benchmarks and limn's own cases with the programs in build/bench; see bench/README.md. Arguments go to
# bench/run.py: tools/bench.sh --only 'step_*'.
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
python3 bench/run.py --limn $build/bin/limn --only 'embedded*' --programs 'limn*' --micro ${micro[@]+"${micro[@]}"} \
  --out $build/results.jsonl --command "make bench" "$@"
echo "limn: results are in $build/results.jsonl"
