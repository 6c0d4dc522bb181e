#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures a model by the prompts of prompts.json: run.sh OUT [--model DIR] [--limit N] [-- options of limn generate]
# Makes a private .venv-eval, the source sets and the classifier where they are missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
packages=(numpy==2.4.6 Pillow==13.0.0 resvg_py==0.5.0 scipy==1.17.1 torch==2.13.0)
venv=$root/.venv-eval
work=${LIMN_EVAL_WORK:-$root/build/eval}
if [ "$(cat "$venv/packages.ok" 2>/dev/null)" != "${packages[*]}" ]; then
  echo "limn: installing ${packages[*]} into .venv-eval"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check install -q "${packages[@]}"
  echo "${packages[*]}" >"$venv/packages.ok"
fi
mkdir -p "$work/cache"
[ -f "$work/classifier.pt" ] || "$venv/bin/python" "$here/classifier.py" "$work/cache" "$work/classifier.pt"
out=$1
shift
exec "$venv/bin/python" "$here/measure.py" "$root/build/release/bin/limn" "$work/classifier.pt" "$work/cache" "$out" "$@"
