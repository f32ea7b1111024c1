#!/bin/sh
# bf16: how it is asked for, what is said of it, what is remembered of it. On a processor
# without dot products of bf16, that everything is as in fp32, and that this is said.
# usage: tests/precision.sh DDG
. "$(dirname "$0")/rig.sh"
has=no
grep -qsw avx512_bf16 /proc/cpuinfo && has=yes
lacks="has no dot products of bf16, so networks are computed in fp32"

expect() { expect_ddg "$@"; }
total() { # the sum behind all values: member, number
  got=$(sed -n "s/^  \"$1\": \([0-9]*\).*/\1/p" out | head -1)
  [ "$got" = "$2" ] || fail "$1 in all is '$got', not $2"
}
report() { grep "^bf16: " "$work/out"; }
program() { # name, what `onnx` is given besides
  program_of small | sed "s|std = std)|std = std$2)|" >"$1.ddg"
}
program small ""
small=small.ddg
program fast ", precision = bf16"
program exact ", precision = fp32"
program chosen ", precision = precision"
sed -i '1i param precision: string = "fp32"' chosen.ddg

# ---- asking for it ----
expect 2 "--precision wants fp32 or bf16, not \`fp16\`" run "$small" --precision fp16
expect 2 "--precision wants a value" run "$small" --precision
expect 2 "\`ddg model\` takes no --precision" model "$teacher" --precision bf16
expect 0 'precision="bf16"' dump "$small" --after graph --precision bf16
expect 0 'precision="fp32"' dump exact.ddg --after graph --precision bf16
expect 0 'precision="bf16"' dump fast.ddg --after graph
expect 0 "precision" run --help

sed 's/samples = [0-9]*/samples = 16/' "$small" >wrong.ddg
expect 1 "coalitions cannot determine" run wrong.ddg --precision bf16
[ "$(grep -c "error:" said)" = 1 ] || fail "a wrong program is told more than once: $(cat said)"

# ---- without such a processor ----
if [ "$(uname -m)" = x86_64 ]; then
  expect 0 "ddg: x86-64 $lacks" run "$small" --target x86-64 --precision bf16 -D to=old
  says_not "bf16: "
  expect 0 "" run "$small" --target x86-64 -D to=old_fp32 --json
  total computed 0
  same old old_fp32
  expect 0 "x86-64 $lacks" compile fast.ddg --target x86-64 -o fast_old
fi
if [ $has = no ]; then
  expect 0 "ddg: this processor $lacks" run "$small" -D to=fp32 --precision bf16
  says_not "bf16: "
  expect 0 "" run "$small" -D to=again --json
  says_not "$lacks"
  total computed 0
  same fp32 again
  expect 0 "" run chosen.ddg -D precision=bf16,fp32 -D to=chosen
  [ "$(grep -c "$lacks" err)" = 1 ] || fail "said more than once: $(cat err)"
  [ $failed = 0 ] || exit 1
  echo "all of bf16 that there is without dot products of it is right"
  exit 0
fi

# ---- the report, and what of it depends on the run ----
expect 0 "bf16: phi " run "$small" -D to=one --precision bf16 --threads 1 --no-store
says " in 32 rows"
says "bf16: gradnorm "
says "bf16: relabel "
says_not "$lacks"
report >report_one
expect 0 "" run "$small" -D to=two --precision bf16 --threads 2 --profile
grep -q "^phi.fp32.* conv" said || fail "kernels of what is compared are not told apart"
report >report_two
same one two
cmp -s report_one report_two || fail "another report: $(diff report_one report_two)"
grep -q '"precision": "bf16"' one/manifest.json || fail "the manifest does not say bf16"
expect 0 "shap_patches (fp32)" plan "$small" --precision bf16

# ---- what is remembered ----
expect 0 "" run "$small" -D to=again --precision bf16
report | cmp -s - report_one || fail "another report, warm: $(report)"
same one again
expect 0 '"largest_error"' run "$small" -D to=again --precision bf16 --json
total computed 0
member phi.fp32 reused 32
expect 0 "" run fast.ddg -D to=fast --json # asked for by the program, the same
total computed 0
same one fast
expect 0 "numerics" why "$small" xi
says bf16
expect 0 "" run "$small" -D to=fp32 --json # finds what was computed to be compared
member phi reused 32
member gradnorm computed 48
grep -q precision fp32/manifest.json && fail "the manifest of fp32 speaks of precision"
expect 0 "" run exact.ddg -D to=exact --precision bf16 --json # the program's word counts
total computed 0
says_not largest_error
same fp32 exact
expect 0 "" run "$small" -D to=alone --no-store
same fp32 alone
DDG_STORE=$work/other expect 0 "" run "$small" -D to=first
DDG_STORE=$work/other expect 0 "" run "$small" -D to=then --precision bf16 --json
member phi computed 80
member phi.fp32 computed 0
same one then
expect 0 "bf16: phi" run chosen.ddg -D precision=fp32,bf16 -D to=swept
same precision=bf16/swept/labels.npy one/labels.npy
same precision=fp32/swept/labels.npy fp32/labels.npy

# ---- a run that does not come to an end says nothing ----
expect 1 "" run "$small" -D to="$small" --precision bf16 --no-store
says_not "bf16: "

# ---- classes that the model chooses ----
sed 's|seed = 0)|seed = 0, target = "predicted")|' fast.ddg >predicted.ddg
expect 0 "bf16: phi " run predicted.ddg -D to=predicted
says "phi.target.fp32"

# ---- compiled ----
expect 0 "" compile fast.ddg -o compiled
says_not "$lacks"
expect_command 0 "" ./compiled --to aot --no-store
says_not "bf16: "
same one aot
expect_command 2 "one of \`ddg compile\`" ./compiled --precision fp32
expect 1 'must be "fp32" or "bf16"; this is "bf61"' run chosen.ddg -D precision=bf61
expect 0 "" compile chosen.ddg -o fixed
expect_command 1 "\`precision\` of \`onnx\` was compiled for fp32" ./fixed --precision bf16
[ $failed = 0 ] || exit 1
echo "bf16 is asked for, compared and remembered"
