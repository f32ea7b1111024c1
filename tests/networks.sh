#!/bin/sh
# The networks that ddg builds, written as ONNX files, beside PyTorch's:
#     sh tests/networks.sh DDG RUN_MODEL
# What is compared stands in tests/networks/networks.py. With onnxruntime-node in NODE_PATH the
# files are run by onnxruntime too. Exit code 77: there is no PyTorch here.
. "$(dirname "$0")/torch.sh"
exec "$python" "$here/networks/networks.py" "$@"
