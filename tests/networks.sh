#!/bin/sh
# The networks that ddg builds, written as ONNX files, beside PyTorch's:
#     sh tests/networks.sh DDG RUN_MODEL
# What is compared stands in tests/networks/networks.py. With onnxruntime-node in NODE_PATH the
# files are run by onnxruntime too. Exit code 77: there is no PyTorch here.
set -u
here=$(cd "$(dirname "$0")" && pwd)/networks
python=/usr/bin/python3
if ! "$python" -c 'import torch, torchvision, onnx' 2>/dev/null; then
  echo "skipped: $python lacks torch, torchvision or onnx (python3-torchvision, python3-onnx)"
  exit 77
fi
exec "$python" "$here/networks.py" "$@"
