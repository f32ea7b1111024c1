#!/bin/sh
# Installs what the tests need, and runs them all: gcc with warnings as errors, clang, and
# gcc with the address and undefined-behaviour sanitizers. Needs sh and apt (Debian 12).
set -eu
cd "$(dirname "$0")/.."
sh examples/build.sh clang-19 g++ libcmocka-dev libonnx-testdata locales qemu-user lld

test_build() { # folder, label of tests that are left to the other build, cmake options ...
  folder=$1 others=$2
  shift 2
  echo "== $folder: $*"
  cmake -S . -B "$folder" -G Ninja -DDDG_TESTS=ON -DDDG_WERROR=ON -DDDG_VERIFY=ON "$@" >/dev/null
  cmake --build "$folder"
  ctest --test-dir "$folder" --output-on-failure -j 2 -LE "^$others\$"
}

CC=clang-19 cmake -S . -B build-clang -G Ninja -DDDG_TESTS=ON -DDDG_WERROR=ON >/dev/null
cmake --build build-clang
test_build build-test faults -DCMAKE_BUILD_TYPE=RelWithDebInfo
test_build build-sanitize numbers -DCMAKE_BUILD_TYPE=RelWithDebInfo -DDDG_SANITIZE=ON
