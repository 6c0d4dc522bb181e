#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From packages to pictures: a miniature data set, an autoencoder, a text-to-picture model, a sheet. About a quarter of
# an hour on two cores; a second call goes on where the first was stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
limn=build/release/bin/limn
place=build/train-demo
began=$(date +%s)

if [ ! -f $place/data/dataset.json ]; then
  tools/datasets/emoji/make.sh $place/emoji --preset mini
  rm -rf $place/data
  $limn data add $place/data $place/emoji/shards/*.tar
  $limn data build $place/data --resolution 64 --near-duplicates -1
fi
$limn data stats $place/data
$limn train configs/demo/autoencoder.toml --output $place/autoencoder --resume
$limn train configs/demo/denoiser.toml --output $place/denoiser --resume
python3 tools/check_training.py $place/autoencoder $place/denoiser
echo "limn: trained in $(($(date +%s) - began)) s"
echo "limn: pictures are in $place/denoiser/samples, the report is $place/denoiser/report.html"
echo "limn: try   $limn generate \"a red apple\" --model $place/denoiser/model"
