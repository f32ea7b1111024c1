#!/bin/sh
# Programs compiled for less than this machine: on a processor that has no more than what
# they were compiled for (qemu's) they give the bytes that `ddg run --target` gives here; on
# one that has less they say what is missing. Without qemu-x86_64 only the instructions are
# looked at.
# usage: tests/target.sh DDG
set -u
ddg=$1
here=$(cd "$(dirname "$0")" && pwd)
examples=$here/../examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# Every kind of kernel and little work: a processor that is played is a hundred times slower.
small=small.ddg
cat >$small <<EOF
param to: string = "out"
train = images("$examples/shapes/train", size = 32, limit = 1)
teacher = onnx("$examples/shapes.onnx", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])
phi = shap_patches(teacher, train, grid = 2, samples = 6, seed = 0)
noisy = perturb(pool(phi, window = 16, stride = 4), sigma = 0.02, seed = 1)
xi = crop(train, at = noisy, size = 16)
best = topk(xi, by = gradnorm(teacher, xi), k = 1)
set = stitch(best, factor = 1)
save(set, labels = relabel(teacher, set, temperature = 20), to = to)
EOF

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

for target in x86-64 x86-64-v3 x86-64-v4; do
  "$ddg" dump "$small" --after asm --target $target >$target.s 2>said ||
    fail "dump for $target: $(cat said)"
done
never() { # target, pattern
  grep -qE -- "$2" "$1.s" && fail "code for $1 has $(grep -m 1 -E -- "$2" "$1.s")"
}
never x86-64 "$wide|$vex|$sse"
never x86-64-v3 "$wide"
grep -qE -- "$vex" x86-64-v3.s || fail "code for x86-64-v3 is no wider than that for x86-64"
grep -qE -- "$wide" x86-64-v4.s || fail "code for x86-64-v4 is no wider than that for x86-64-v3"

# ---- the files ----
need "$ddg" compile "$small" -o low --target x86-64
need "$ddg" compile "$small" -o middle --target x86-64-v3
need "$ddg" compile "$small" -o high --target x86-64-v4
need "$ddg" compile "$small" -o both --target x86-64-v3 --target x86-64
need "$ddg" run "$small" -D to=low.want --target x86-64 --no-store

qemu=$(command -v qemu-x86_64)
if [ -z "$qemu" ] || ldd low | grep -q asan; then
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

same_on $least low low.want low.got
same_on $least both low.want both.low
lacks_on $least middle avx2
lacks_on $better high avx512f
"$ddg" run "$small" -D to=middle.want --target x86-64-v3 --no-store >said 2>&1 || {
  grep -qF "cannot run" said || fail "run for x86-64-v3: $(cat said)"
  on $better middle middle.want || fail "middle on $better: $(cat said)" # this machine cannot
}
same_on $better middle middle.want middle.got
same_on $better both middle.want both.got

[ $failed = 0 ] || exit 1
echo "targets are what they say"
