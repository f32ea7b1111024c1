#!/bin/sh
# One step of training, of networks that ddg builds and of imported ones, beside PyTorch in
# float64: the loss, every gradient, the running statistics.
#     sh tests/train_gradients.sh RUN_STEP [fast|full] [NAME...]
# What is compared stands in tests/teachers/steps.py (fast: small ones; full: all, 3 minutes).
# Exit code 77: there is no PyTorch here.
. "$(dirname "$0")/torch.sh"
run_step=$1 what=${2:-fast}
shift $(($# < 2 ? $# : 2))
case $what in
  fast | full) exec "$python" "$here/teachers/steps.py" "$run_step" "$what" "$@" ;;
esac
echo "train_gradients.sh: fast or full, not '$what'"
exit 2
