# What scripts beside PyTorch begin with. Sets `here`, the folder of the tests, and `python`;
# where that has no PyTorch the script ends here, with 77: skipped.
set -u
here=$(cd "$(dirname "$0")" && pwd)
python=/usr/bin/python3
if ! "$python" -c 'import torch, torchvision, onnx' 2>/dev/null; then
  echo "skipped: $python lacks torch, torchvision or onnx (python3-torchvision, python3-onnx)"
  exit 77
fi
