#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Remakes every committed golden with the exact library versions it was made with, in a private .venv-goldens.
# Afterwards `git status` shows what changed. Pickles of limn/weights/testdata do (storages are named after memory
# addresses), and safetensors files may, in the order of their metadata: the tensors do not.
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=(torch==2.13.0 torchsde==0.2.6 torchdiffeq==0.2.5 diffusers==0.42.1 peft==0.21.2 accelerate==1.15.0 transformers==5.23.0 tokenizers==0.23.3 safetensors==0.8.0 Pillow==13.0.0
  piexif==1.1.3 scipy==1.17.1 numpy==2.4.6 sd-parsers==0.6 compel==2.5.1)
samplers=k-diffusion==0.1.1.post1  # without what it asks for: only its samplers are read, and the rest wants an older numpy
venv=.venv-goldens
python=$venv/bin/python
[ -x $python ] || { echo "limn: making $venv"; python3 -m venv $venv; }
if [ "$(cat $venv/packages.ok 2>/dev/null)" != "${packages[*]} $samplers" ]; then
  echo "limn: installing ${packages[*]} into $venv"
  $python -m pip --disable-pip-version-check install -q "${packages[@]}"
  $python -m pip --disable-pip-version-check install -q --no-deps $samplers
  echo "${packages[*]} $samplers" >$venv/packages.ok
fi

export OMP_NUM_THREADS=1  # sums in one order
make_golden() { echo "limn: tools/goldens/$1"; $python "tools/goldens/$@"; }
make_golden tokens.py .
make_golden keys.py
make_golden open_clip.py .
make_golden weights.py
make_golden schedulers.py
make_golden kdiffusion.py
make_golden pipelines.py .
make_golden families.py .
make_golden compat.py .
make_golden compel_prompts.py .
make_golden matrix.py .
make_golden variants.py .
make_golden images.py limn/image/testdata
make_golden infotexts.py limn/provenance/testdata
make_golden training.py
make_golden lora.py
make_golden lora_xl.py .
make_golden datasets.py limn/datasets/testdata
