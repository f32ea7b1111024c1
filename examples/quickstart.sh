#!/bin/sh
# Installs, builds, trains a teacher on the images this repository carries, distils them, and
# trains students on what came out. Needs sh and apt.
set -eu
cd "$(dirname "$0")/.."
sh examples/build.sh
build/ddg run examples/infoutil.ddg
build/ddg run examples/compare.ddg -D ipcs=[5]
echo
echo "The distilled images are in $PWD/out/infoutil"
echo "Look at $PWD/out/infoutil/overview.png first."
