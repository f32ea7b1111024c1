#!/bin/sh
# Programs compiled for less than this machine: on a processor that has no more than what
# they were compiled for (qemu's) they give the bytes that `ddg run --target` gives here; on
# one that has less they say what is missing. Without qemu-x86_64 only the instructions are
# looked at. Kernels for AArch64 are run by tests/unit (guest.h).
# usage: tests/target.sh DDG
set -u
ddg=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# Every kind of kernel and little work: a processor that is played is a hundred times slower.
# small is of convolutions, attention of products of matrices, a softmax and the error function.
program() { # name, teacher, size of images, of crops, of what is made of crops
  cat >"$1.ddg" <<EOF
param to: string = "out"
train = images("$here/data/shapes/train", size = $3, limit = 1)
teacher = onnx("$2", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])
phi = shap_patches(teacher, train, grid = 2, samples = 6, seed = 0)
noisy = perturb(pool(phi, window = $4, stride = 4), sigma = 0.02, seed = 1)
xi = crop(train, at = noisy, size = $4, resize = $5)
best = topk(xi, by = gradnorm(teacher, xi), k = 1)
set = stitch(best, factor = 1)
save(set, labels = relabel(teacher, set, temperature = 20), to = to)
EOF
}
program small "$here/data/shapes.onnx" 32 16 16
program attention "$here/cases/model/attention.onnx" 8 4 8

fail() {
  echo "FAIL: $*"
  failed=$((failed + 1))
}
need() { "$@" >said 2>&1 || fail "$*: $(cat said)"; }

# ---- the instructions ----
# What no kernel may use for a target, and that the next one does use it.
tab=$(printf '\t')
wide='%zmm|%k[0-7]|%[xy]mm(1[6-9]|2[0-9]|3[01])'
vex="^${tab}v|%ymm|^$tab(andn[lq]|bextr|bls|bzhi|mulx|pdep|pext[lq]|rorx|sarx|sh[lr]x)"
sse="^$tab(hadd|hsub|addsub|movs[lh]dup|movddup|lddqu|pshufb|palignr|pabs|psign|phadd|phsub"
sse="$sse|pmaddubsw|pmulhrsw|p?blend|dpp|insertps|extractps|pinsr[bdq]|pextr[bdq]|round"
sse="$sse|pm(in|ax)(sb|sd|uw|ud)|pmov[sz]x|pmulld|pmuldq|ptest|pcmp(eq|gt)q|packusdw"
sse="$sse|mpsadbw|popcnt|lzcnt|movbe|crc32|cmpxchg16b)"

never() { # what, target, pattern
  grep -qE -- "$3" "$1.$2.s" && fail "code of $1 for $2 has $(grep -m 1 -E -- "$3" "$1.$2.s")"
}
has() { # what, target, pattern
  grep -qE -- "$3" "$1.$2.s" || fail "code of $1 for $2 is no wider than for the one below"
}
for what in small attention; do
  for target in x86-64 x86-64-v3 x86-64-v4; do
    "$ddg" dump $what.ddg --after asm --target $target >$what.$target.s 2>said ||
      fail "dump of $what for $target: $(cat said)"
  done
  never $what x86-64 "$wide|$vex|$sse"
  never $what x86-64-v3 "$wide"
  has $what x86-64-v3 "$vex"
  has $what x86-64-v4 "$wide"
done

# Another kind of processor: what can be written for it, and what cannot.
expect() { # words, command ...
  words=$1
  shift
  "$@" >said 2>&1 && fail "$* does it"
  grep -qF -- "$words" said || fail "$*: does not say \`$words\`: $(cat said)"
}
for what in small attention; do
  need "$ddg" compile $what.ddg --target aarch64 --emit asm -o $what.arm.s
  grep -qE "^${tab}fmla${tab}v[0-9]+.4s" $what.arm.s || fail "code of $what for aarch64 has no vectors"
  need "$ddg" compile $what.ddg --target aarch64 --emit obj -o $what.arm.o
  need "$ddg" compile $what.ddg --target aarch64 --target x86-64 --emit plan -o $what.arm.plan
done
expect "an executable for aarch64 cannot be made here" \
  "$ddg" compile small.ddg -o never --target x86-64 --target aarch64
[ -e never ] && fail "an executable for aarch64 was made"
expect "this processor cannot run code for aarch64" "$ddg" run small.ddg --target aarch64
"$ddg" inspect small.arm.plan >said 2>&1 && grep -qE "needs aarch64$" said ||
  fail "inspect of code for aarch64: $(cat said)"

# ---- the files ----
for what in small attention; do
  need "$ddg" compile $what.ddg -o $what.low --target x86-64
  need "$ddg" compile $what.ddg -o $what.middle --target x86-64-v3
  need "$ddg" compile $what.ddg -o $what.both --target x86-64-v3 --target x86-64
  need "$ddg" run $what.ddg -D to=$what.low.want --target x86-64 --no-store
done
need "$ddg" compile small.ddg -o small.high --target x86-64-v4

qemu=$(command -v qemu-x86_64)
if [ -z "$qemu" ] || ldd small.low | grep -q asan; then
  echo "what a smaller processor does was not tried"
  [ $failed = 0 ] || exit 1
  exit 0
fi
# A processor with nothing that not every x86-64 has, and one of level v3.
least=qemu64,pni=off,cx16=off,lahf-lm=off
better=Haswell

on() { # processor, file, folder
  "$qemu" -cpu "$1" "./$2" --to "$3" --no-store --threads 2 >said 2>&1
}
same_on() { # processor, file, folder wanted, folder
  on "$1" "$2" "$4" || fail "$2 on $1: $(cat said)"
  diff -r "$3" "$4" >/dev/null || fail "$2 on $1: $3 and $4 differ"
}
lacks_on() { # processor, file, feature
  on "$1" "$2" never
  got=$?
  [ $got = 1 ] || fail "$2 on $1: exit code $got, not 1: $(cat said)"
  grep -qF -- "$3" said || fail "$2 on $1: does not say $3: $(cat said)"
}

lacks_on $least small.middle avx2
lacks_on $better small.high avx512f
for what in small attention; do
  same_on $least $what.low $what.low.want $what.low.got
  same_on $least $what.both $what.low.want $what.both.low
  "$ddg" run $what.ddg -D to=$what.middle.want --target x86-64-v3 --no-store >said 2>&1 || {
    grep -qF "cannot run" said || fail "run of $what for x86-64-v3: $(cat said)"
    on $better $what.middle $what.middle.want || # this machine cannot
      fail "$what.middle on $better: $(cat said)"
  }
  same_on $better $what.middle $what.middle.want $what.middle.got
  same_on $better $what.both $what.middle.want $what.both.got
done

[ $failed = 0 ] || exit 1
echo "targets are what they say"
