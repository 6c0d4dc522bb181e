#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the emoji data set: make.sh OUT [--preset mini|base|full]. Needs npm; makes a private .venv-datasets.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
packages=(numpy==2.4.6 Pillow==13.0.0 resvg_py==0.5.0)
venv=$root/.venv-datasets
if ! command -v npm >/dev/null; then
  echo "limn: installing npm"
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends npm >/dev/null
fi
[ -x "$venv/bin/python" ] || { echo "limn: making .venv-datasets"; python3 -m venv "$venv"; }
if [ "$(cat "$venv/packages.ok" 2>/dev/null)" != "${packages[*]}" ]; then
  echo "limn: installing ${packages[*]} into .venv-datasets"
  "$venv/bin/python" -m pip --disable-pip-version-check install -q "${packages[@]}"
  echo "${packages[*]}" >"$venv/packages.ok"
fi
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
exec "$venv/bin/python" "$root/tools/datasets/emoji/build.py" "$@"
