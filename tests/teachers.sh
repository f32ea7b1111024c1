#!/bin/sh
# Teachers as people export them beside PyTorch:
#     sh tests/teachers.sh RUN_MODEL [fast|full|exports] [NAME...]
# What is compared stands in tests/teachers/teachers.py (fast: small ones, full: all at 224 by
# 224; 15 minutes) and exports.py (small ones, exported in every way; 10 minutes). Exit code
# 77: there is no PyTorch here.
. "$(dirname "$0")/torch.sh"
run_model=$1 what=${2:-fast}
shift $(($# < 2 ? $# : 2))
case $what in
  exports) exec "$python" "$here/teachers/exports.py" "$run_model" "$@" ;;
  fast | full) exec "$python" "$here/teachers/teachers.py" "$run_model" "$what" "$@" ;;
esac
echo "teachers.sh: fast, full or exports, not '$what'"
exit 2
