#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Draws a picture with the embedded model and says where it is.
set -euo pipefail
cd "$(dirname "$0")/.."
picture=build/demo/a-red-apple.png
time=$(date +%s)
build/release/bin/limn generate "a red apple, noto style" --seed 7 --output "$picture" --force --quiet
echo "limn: drew 'a red apple, noto style' in $(($(date +%s) - time)) s: $PWD/$picture"
echo "limn: try   build/release/bin/limn generate \"a green frog on a yellow background\""
