#!/bin/sh
# Compiled ahead of time against `ddg run`: seconds of each value of infoutil.ddg over a share
# of a folder's images, nothing remembered, the two taking turns so that the machine's moods
# meet both; medians, and whether the results are the same bytes. See README.md here.
# usage: bench/ahead.sh [DDG [IMAGES [MODEL.onnx]]]   (RUNS=15 for more, EACH=60 images a class)
set -eu
cd "$(dirname "$0")/.."
ddg=${1:-build/ddg} images=${2:-../shared/data/cifar10/train}
model=${3:-../shared/models/resnet20.onnx} runs=${RUNS:-7} each=${EACH:-30}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

for class in "$images"/*/; do
  mkdir -p "$work/train/$(basename "$class")"
  find "$class" -type f | sort | head -n "$each" |
    xargs cp -t "$work/train/$(basename "$class")"
done
set -- -D data="$work/train" -D model="$model" -D ipc=1
"$ddg" compile tests/cases/run/infoutil.ddg "$@" -D to="$work/ahead" -o "$work/infoutil" >/dev/null

n=0
while [ $n -lt "$runs" ]; do
  "$ddg" run tests/cases/run/infoutil.ddg "$@" -D to="$work/run" --no-store --json \
    >"$work/run.$n" 2>"$work/err" || { cat "$work/err" >&2; exit 1; }
  "$work/infoutil" --no-store --json >"$work/ahead.$n" 2>"$work/err" ||
    { cat "$work/err" >&2; exit 1; }
  n=$((n + 1))
done

stages() { # files: "name seconds" of each stage of each run
  cat "$@" | tr -d ' \n' | tr '{' '\n' |
    sed -n 's/^"name":"\([^"]*\)"[^}]*"seconds":\([0-9.e-]*\).*/\1 \2/p'
}
median_of() { # name
  awk -v n="$1" '$1 == n { print $2 }' | sort -g |
    awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
echo "$(find "$work/train" -type f | wc -l) images, $("$ddg" --version)," \
  "$(nproc) processors, medians of $runs"
stages "$work"/run.* >"$work/times.run"
stages "$work"/ahead.* >"$work/times.ahead"
for name in $(awk '!seen[$1]++ { print $1 }' "$work/times.run"); do
  awk -v n="$name" -v a="$(median_of "$name" <"$work/times.run")" \
    -v b="$(median_of "$name" <"$work/times.ahead")" \
    'BEGIN { printf "%-12s run %8.4f s   ahead %8.4f s   %6.3f times\n", n, a, b, b / a }'
done
diff -r "$work/run" "$work/ahead" && echo "the same bytes"
