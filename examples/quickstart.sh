#!/bin/sh
# Installs, builds, and distils the data set this repository carries. Needs sh and apt.
set -eu
cd "$(dirname "$0")/.."
sh examples/build.sh
build/ddg run examples/infoutil.ddg
echo
echo "The distilled images are in $PWD/out/infoutil"
echo "Look at $PWD/out/infoutil/overview.png first."
