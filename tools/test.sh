#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every test that needs no special hardware: layer check, release build and its tests, and the parsers' tests and fuzz
# targets under AddressSanitizer and UBSan. LIMN_FUZZ_SECONDS=600 fuzzes longer.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}

tools/test_env.sh
python3 tools/check_layers.py
python3 tools/check_docs.py

echo "limn: building with sanitizers"
cmake --preset asan -DLIMN_FUZZ_SECONDS="${LIMN_FUZZ_SECONDS:-10}" >/dev/null
cmake --build --preset asan -j "$jobs" --target parsers -- --quiet
echo "limn: building"
cmake --preset release >/dev/null
cmake --build --preset release -j "$jobs" -- --quiet

ctest --test-dir build/asan --output-on-failure -j "$jobs" -L parsers
ctest --test-dir build/release --output-on-failure -j "$jobs" -LE slow
