#!/bin/sh
# What the store gives and costs: infoutil.ddg over a folder of images, wall-clock seconds of
# whole processes, medians. See README.md here.
# usage: bench/store.sh [DDG [IMAGES [MODEL.onnx]]]   (RUNS=3 for more cold runs)
set -eu
cd "$(dirname "$0")/.."
ddg=${1:-build/ddg} images=${2:-../shared/data/cifar10/train}
model=${3:-../shared/models/resnet20.onnx} runs=${RUNS:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# Images that can be added to and taken from; not younger than the store trusts.
cp -r "$images" "$work/train"
find "$work/train" -type f | sort | awk 'NR % 300 == 7' | while read -r f; do
  mkdir -p "$work/aside/$(basename "$(dirname "$f")")"
  mv "$f" "$work/aside/$(basename "$(dirname "$f")")/"
done
added=$(find "$work/aside" -type f | wc -l)
rows=$(find "$work/train" -type f | wc -l)
sleep 2.5

now() { date +%s.%N; }
run() { # sigma, options...; prints seconds
  sigma=$1
  shift
  start=$(now)
  "$ddg" run tests/cases/run/infoutil.ddg -D data="$work/train" -D model="$model" -D ipc=10 \
    -D sigma="$sigma" -D to="$work/out" "$@" >"$work/report" 2>"$work/err" || {
    cat "$work/err" >&2
    exit 1
  }
  end=$(now)
  awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f\n", b - a }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
line() { # name, seconds
  awk -v n="$1" -v s="$2" -v c="$cold" \
    'BEGIN { printf "%-44s %9.3f s  %7.2f%% of the cold run\n", n, s, 100 * s / c }'
}
computed() { # name: rows of it that were computed, from a run with --json
  tr -d ' \n' <"$work/report" | tr '{' '\n' | grep "\"name\":\"$1\"" |
    sed 's/.*"computed":\([0-9]*\).*/\1/'
}

none=$(i=0; while [ $i -lt "$runs" ]; do run 0.1 --no-store; i=$((i + 1)); done | median)
cold=$(i=0; while [ $i -lt "$runs" ]; do
  rm -rf "$work/store"; run 0.1 --store "$work/store"; i=$((i + 1)); done | median)
echo "$rows images, $("$ddg" --version), $(nproc) processors"
line "cold, no store" "$none"
line "cold, into an empty store" "$cold"
warm=$(for _ in 1 2 3 4 5 6 7 8 9; do run 0.1 --store "$work/store"; done | median)
line "again, nothing changed" "$warm"
line "another sigma" "$(run 0.2 --store "$work/store" --json)"
echo "  Shapley values computed for it: $(computed phi)"
line "a sweep of three, two of them new: each" \
  "$(run 0.05,0.1,0.4 --store "$work/store" | awk '{ print $1 / 3 }')"
for d in "$work"/aside/*; do mv "$d"/* "$work/train/$(basename "$d")/"; done
line "$added images added" "$(run 0.1 --store "$work/store" --json)"
echo "  Shapley values computed for them: $(computed phi)"
du -sk "$work/store" | awk -v r="$rows" \
  '{ printf "store: %d KB, %.0f bytes an image\n", $1, $1 * 1024 / r }'
