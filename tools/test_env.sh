#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .venv-tests with the packages of tests/requirements.txt. Safe to repeat; does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=tests/requirements.txt
stamp=.venv-tests/$(sha256sum $wanted | cut -c1-16).ok
[ ! -f "$stamp" ] || exit 0
echo "limn: installing $wanted into .venv-tests"
rm -rf .venv-tests
python3 -m venv .venv-tests
.venv-tests/bin/python -m pip --disable-pip-version-check install -q -r $wanted
touch "$stamp"
