#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The page: style, types, units, size, and stories in a real browser, each against the stand-in or the real server. web.sh LIMN
set -euo pipefail
limn=$(realpath "$1")
cd "$(dirname "$0")/../web"
PATH=$PWD/../.node/node_modules/node/bin:$PATH  # where tools/setup.sh puts it if it must
[ -d node_modules ] || npm ci --no-audit --no-fund --loglevel=error
npm run --silent check &
npm run --silent lint
npm test --silent
wait $!
npm run --silent build
npm run --silent e2e
LIMN=$limn npm run --silent e2e
