#!/bin/sh
# ddg inspect: what people and scripts are told of a compiled program, and of other files.
# usage: tests/inspect.sh DDG
. "$(dirname "$0")/rig.sh"

expect() { expect_command "$@"; }
says() { grep -qE -- "$1" said || fail "does not say '$1' either: $(head -c 2000 said)"; }
silent() { if grep -qF -- "$1" said; then fail "says '$1'"; fi; }

program_of infoutil >infoutil.ddg
expect 0 "" "$ddg" compile infoutil.ddg -D samples=20 -o f \
  --target x86-64-v3 --target x86-64
expect 0 "" "$ddg" compile infoutil.ddg -D samples=20 --emit plan -o p

# ---- for people ----
expect 0 "infoutil, compiled by ddg " "$ddg" inspect f
says '^targets, the best first'
says '^  x86-64-v3 .*: code .*, [0-9]+ kernels, constants '
says '^ +avx2 bmi bmi2 f16c fma '
says 'rounds as f32 fma lanes=8'
says '^  sigma +float = 0.02$'
says '^ +noise on the attributions, for diversity$'
says '^ +cannot be set: compiled in, for `factor` of `stitch`$'
says "^  train +$here/data/shapes/train at 32 x 32$"
says '^  phi +shap_patches .* 64 B  remembered$'
says 'images 3 x 32 x 32, with labels of 10 classes$'
silent 'x.op'
expect 0 "runtime none" "$ddg" inspect p

# ---- everything ----
expect 0 "code for x86-64-v3" "$ddg" inspect --all f
says '^  best +chosen from train, the 20 largest of each class by util$'
says '^ +at.sigma +0.02$'
says '^ +model.weights.0 +[0-9a-f]{32} \('
says '^ +and, of each row, +the content of `train`$'
says '^  ddg_[a-z]+_[0-9a-f]+ +[0-9]+ +[0-9]+$'

# ---- for scripts ----
expect 0 '"target": "x86-64",' "$ddg" inspect --json f
says '"fixed": "`factor` of `stitch`"'
silent '"variants"'
expect 0 '"variants": [' "$ddg" inspect --json --all f
says '"kind": "reader"'
says '"builtin": "normal"'
if command -v python3 >/dev/null; then
  python3 -c 'import json; d = json.load(open("out")); assert len(d["variants"]) == 2' ||
    fail "what is printed for scripts is no JSON"
fi

# ---- what is none ----
expect 1 "it holds no compiled program at its end" "$ddg" inspect "$ddg"
expect 1 "not a regular file" "$ddg" inspect .
expect 1 "No such file" "$ddg" inspect nothing
printf hello >tiny
expect 1 "too short" "$ddg" inspect tiny
head -c 2000 f >short
expect 1 "no compiled program" "$ddg" inspect short
printf x >>p
expect 1 "no compiled program" "$ddg" inspect p
expect 2 "wants FILE" "$ddg" inspect

[ $failed = 0 ] && echo "inspect: all is well"
exit $failed
