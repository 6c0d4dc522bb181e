#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compares limn with diffusers, OpenVINO and ONNX Runtime in one run, and writes the figures of README.md and docs/. Installs
# the peers into build/bench-peers-venv and makes the model in build/bench-models, or LIMN_BENCH_MODELS: 18 GB in all. An
# hour and more on two cores. Arguments go to bench/run.py: tools/bench_peers.sh --only 'step_*' --programs limn diffusers.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(torch==2.13.0 diffusers==0.42.1 accelerate==1.15.0 transformers==5.23.0 tokenizers==0.23.3 safetensors==0.8.0
  numpy==2.4.6 Pillow==13.0.0 openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 onnxscript==0.7.2)
venv=build/bench-peers-venv
python=$venv/bin/python
[ -x $python ] || { echo "limn: making $venv"; python3 -m venv $venv; }
if [ "$(cat $venv/packages.ok 2>/dev/null)" != "${packages[*]}" ]; then
  echo "limn: installing ${packages[*]} into $venv"
  $python -m pip --disable-pip-version-check install -q "${packages[@]}"
  echo "${packages[*]}" >$venv/packages.ok
fi
limn=build/bench/bin/limn
$python bench/make_models.py $limn "${LIMN_BENCH_MODELS:-build/bench-models}"

said="make bench-peers"
[ $# -eq 0 ] || said="tools/bench_peers.sh $*"
documents=()
for document in README.md docs/performance.md; do
  ! grep -qs '<!-- bench:' $document || documents+=("$document")
done
python3 bench/run.py --limn $limn --out build/bench/results.jsonl --command "$said" \
  ${documents[@]+--write "${documents[@]}"} "$@"
