#!/bin/sh
# Teachers as people export them beside PyTorch: sh tests/teachers.sh RUN_MODEL [fast|full
# [NAME...]]. What is compared stands in tests/teachers/teachers.py. Exit code 77: there is
# no PyTorch here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
run_model=$1
shift
python=/usr/bin/python3
if ! "$python" -c 'import torch, torchvision, onnx' 2>/dev/null; then
  echo "skipped: $python has no torch, torchvision and onnx (python3-torchvision, python3-onnx)"
  exit 77
fi
what=${1:-fast}
[ $# -eq 0 ] || shift
script=teachers.py
[ "$what" != exports ] || script=exports.py what=
exec "$python" "$here/teachers/$script" "$run_model" ${what:+"$what"} "$@"
