#!/bin/sh
# Installs what ddg is built from (Debian 12) and builds it: build/ddg. Needs sh and apt.
# usage: sh examples/build.sh [more packages ...]
set -eu
cd "$(dirname "$0")/.."

packages="gcc libc6-dev cmake ninja-build pkg-config llvm-19-dev libopenblas-serial-dev libxxhash-dev
libjpeg62-turbo-dev libpng-dev libsqlite3-dev libmsgpack-dev libonnx-dev libprotobuf-c-dev
protobuf-c-compiler $*"
missing=""
for p in $packages; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' ||
    missing="$missing $p"
done
if [ -n "$missing" ]; then
  as_root=""
  [ "$(id -u)" = 0 ] || as_root=sudo
  echo "installing$missing"
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y --no-install-recommends \
    $missing >/dev/null
fi

cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build build
