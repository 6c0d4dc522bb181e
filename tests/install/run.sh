#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs limn, moves the tree, builds a consumer project against it and runs both. run.sh BUILD_FOLDER LIBTORCH_FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1 torch=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

cmake --install "$build" --prefix "$place/first" >/dev/null
mv "$place/first" "$place/moved"
if grep -rlE "$build|$place/first" "$place/moved/lib/cmake"; then
  echo "the package knows where it was built or first installed" >&2
  exit 1
fi

cmake -S "$here/consumer" -B "$place/consumer" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$place/moved" -DLIMN_TORCH_DIR="$torch" >/dev/null
cmake --build "$place/consumer" -- --quiet
"$place/consumer/consumer" "$here/../goldens/tiny_sd1" "$place/picture.png"
"$place/moved/bin/limn" info "$place/picture.png" | grep -F "Seed: 7,"
"$place/moved/bin/limn" generate "a red apple" --steps 1 --seed 7 --output "$place/embedded.png"
"$place/moved/bin/limn" info "$place/embedded.png" | grep -F "limn embedded"
"$place/moved/bin/limn" info "$place/moved/share/limn/embedded" | grep -F "Stable Diffusion"
