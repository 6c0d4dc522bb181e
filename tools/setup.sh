#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building limn needs and is missing: system packages, and LibTorch in a private .venv; `setup.sh test` also
# what its tests need. Safe to repeat; does nothing when all is there. LIMN_TORCH_DIR=/path/to/libtorch skips the .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(g++ make cmake ninja-build ccache pkg-config git python3 python3-venv
  libboost-json1.81-dev libboost1.81-dev libcli11-dev libpng-dev libjpeg62-turbo-dev libwebp-dev zlib1g-dev libssl-dev
  libsqlite3-dev libpq-dev libcurl4-openssl-dev nodejs brotli
  libicu-dev libtomlplusplus-dev libgloo-dev libhwy-dev libgtest-dev libgmock-dev libbenchmark-dev)
[ "${1:-}" != test ] || packages+=(clang-19 libclang-rt-19-dev clang-format-14 postgresql-15 chromium)
torch=2.13.0

command -v npm >/dev/null || packages+=(npm)  # some packages of nodejs bring it

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "limn: installing ${missing[*]}"
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# The page's tools need a newer node than Debian 12 has; npm has it as a package.
node=22.20.0
if [ "$(printf '%s\n' 20.19 "$(node --version | tr -d v)" | sort -V | head -1)" != 20.19 ] && [ ! -x .node/node_modules/node/bin/node ]; then
  echo "limn: installing node $node into .node"
  npm install --prefix .node --no-audit --no-fund --loglevel=error node@$node
fi

[ -z "${LIMN_TORCH_DIR:-}" ] || exit 0
python=.venv/bin/python
[ -x $python ] || { echo "limn: making .venv"; python3 -m venv .venv; }
if [ ! -f .venv/torch-$torch.ok ]; then
  echo "limn: installing LibTorch $torch into .venv"
  $python -m pip --disable-pip-version-check install -q "torch==$torch"
  touch .venv/torch-$torch.ok
fi
