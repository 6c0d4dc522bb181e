#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The page: style, types, units, size, and stories in a real browser against the stand-in and the real server. web.sh LIMN
set -euo pipefail
limn=$(realpath "$1")
cd "$(dirname "$0")/../web"
[ -d node_modules ] || npm ci --no-audit --no-fund --loglevel=error
npm run --silent lint
npm run --silent check
npm test --silent
npm run --silent build
npm run --silent e2e
LIMN=$limn npm run --silent e2e
