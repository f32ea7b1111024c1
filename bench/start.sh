#!/bin/sh
# How soon things begin: medians of whole processes, in milliseconds from their start. See
# README.md here.
# usage: bench/start.sh [DDG [IMAGES [MODEL.onnx [MODEL224.onnx...]]]]   (RUNS=21 for more)
# MODEL224: networks of 1000 classes for images of 224 pixels, such as ResNet-18 and
# ViT-B/16; without one those lines are left out.
set -eu
cd "$(dirname "$0")/.."
ddg=${1:-build/ddg} images=${2:-../shared/data/cifar10/train}
model=${3:-../shared/models/resnet20.onnx} runs=${RUNS:-11}
shift $(($# < 3 ? $# : 3))
photographs=../shared/data/imagenet-sample
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
line() { printf '%-52s %10s\n' "$1" "$2"; }
repeat() { # command...: its standard output, so many times
  n=0
  while [ $n -lt "$runs" ]; do
    "$@" || exit 1
    n=$((n + 1))
  done
}
wall() { # command...: how long it takes
  a=$(date +%s%N)
  "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; return 1; }
  b=$(date +%s%N)
  awk -v a="$a" -v b="$b" 'BEGIN { printf "%.1f\n", (b - a) / 1e6 }'
}
first_kernel() { # command...: it is stopped once the kernels run
  timeout -s INT 5 "$@" --time >"$work/said" 2>"$work/err" || true
  awk '/^first kernel/ { print $3; found = 1 } END { exit !found }' "$work/said" ||
    { cat "$work/err" >&2; return 1; }
}
ms() { line "$1" "$(repeat "$2" "$ddg" $3 | median) ms"; }

set_20="-D data=$images -D model=$model -D to=$work/out"
echo "$("$ddg" --version), $(nproc) processors, medians of $runs"
ms "ddg --version" wall "--version"
ms "ddg check" wall "check tests/cases/run/infoutil.ddg -D data=$images -D model=$model"
ms "ddg run to the first kernel" first_kernel \
  "run tests/cases/run/infoutil.ddg $set_20 --no-store"

if [ $# -gt 0 ]; then
  n=0
  while [ $n -lt 1000 ]; do # a folder a class, of the photographs in turn
    for image in "$photographs"/*/*; do
      [ $n -lt 1000 ] || break
      mkdir -p "$work/large/$(printf %04d $n)"
      ln "$image" "$work/large/$(printf %04d $n)" 2>/dev/null ||
        cp "$image" "$work/large/$(printf %04d $n)"
      n=$((n + 1))
    done
  done
  sed -e 's/size = 32)/size = 224)/' -e 's/size = 16)/size = 112, resize = 224)/' \
    -e 's/window = 16, stride = 4)/window = 112, stride = 28)/' \
    tests/cases/run/infoutil.ddg >"$work/infoutil224.ddg"
  cat >"$work/labels224.ddg" <<'PROGRAM'
param data: string = "."
param model: string = "."
param to: string = "."
x = images(data, size = 224)
t = onnx(model, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])
save(relabel(t, x), to = to)
PROGRAM
fi
for large; do
  name=$(basename "$large" .onnx)
  set_224="-D data=$work/large -D model=$large"
  ms "soft labels at 224 pixels, $name" first_kernel \
    "run $work/labels224.ddg $set_224 -D to=$work/labels.npy --no-store"
done
if [ $# -gt 0 ]; then
  ms "infoutil at 224 pixels, $(basename "$1" .onnx)" first_kernel \
    "run $work/infoutil224.ddg -D data=$work/large -D model=$1 -D ipc=1 -D factor=1 -D to=$work/out --no-store"
fi

# ---- compiled ------------------------------------------------------------------------
self=$work/infoutil
ms "ddg compile" wall "compile tests/cases/run/infoutil.ddg $set_20 -o $self"
line "what it writes" "$(wc -c <"$self" | awk '{ printf "%.2f MB", $1 / 1e6 }')"
line "  its first kernel, no store" "$(repeat first_kernel "$self" --no-store | median) ms"
sleep 2.5 # files must not be younger than a store trusts
first_kernel "$self" --store "$work/store" >"$work/cold"
line "  into an empty store, all images hashed" "$(cat "$work/cold") ms"
line "  a store that knows the images" \
  "$(repeat first_kernel "$self" --store "$work/store" | median) ms"

# ---- nothing to compute ----------------------------------------------------------------
small="-D to=$work/small --store $work/store"
wall "$ddg" run tests/cases/run/infoutil.ddg $small >"$work/cold"
ms "ddg run of tests/cases/run/infoutil.ddg, all in the store" wall \
  "run tests/cases/run/infoutil.ddg $small"
"$ddg" compile tests/cases/run/infoutil.ddg -D to="$work/small" -o "$self" >"$work/said"
line "the same, compiled" "$(repeat wall "$self" --store "$work/store" | median) ms"
