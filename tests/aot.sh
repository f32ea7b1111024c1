#!/bin/sh
# Compiled programs: the bytes of `ddg run` whatever is set, over one store with it, without
# the source, the model or LLVM; what newcomers get wrong; files and machines that are wrong.
# usage: tests/aot.sh DDG
. "$(dirname "$0")/rig.sh"

expect() { expect_command "$@"; }
cp -r "$here/data/shapes" "$teacher" .
for name in infoutil rded; do # with paths beside them
  program_of $name | sed "s|$here/data/||" >$name.ddg
done

# ---- the same bytes as ddg run ----
expect 0 "wrote infoutil" "$ddg" compile infoutil.ddg -D samples=20 -o infoutil
expect 0 "wrote rded" "$ddg" compile rded.ddg -o rded
expect 0 "wrote values" "$ddg" compile "$here/cases/run/values.ddg" -o values
for n in 1 2; do
  expect 0 "" ./infoutil --to info$n --threads $n --store store$n
  expect 0 "" ./rded --to=rded$n --threads=$n --store=store$n
  mkdir values$n
  expect 0 "" ./values --to values$n/v --threads $n --no-store
done
expect 0 "" "$ddg" run infoutil.ddg -D samples=20 -D to=info0 --store store0
expect 0 "" "$ddg" run rded.ddg -D to=rded0 --store store0
mkdir values0
expect 0 "" "$ddg" run "$here/cases/run/values.ddg" -D to=values0/v --no-store
for n in 1 2; do
  same info0 info$n
  same rded0 rded$n
  same values0 values$n
done
expect 0 "wrote 20 rows to set1" ./infoutil -D ipc=2 --sigma 0.3 -Dto=set1 --store store1
expect 0 "" "$ddg" run infoutil.ddg -D samples=20 -D ipc=2 -D sigma=0.3 \
  -D to=set0 --no-store
same set0 set1
if diff -r info1 set1 >/dev/null; then fail "setting params changes nothing"; fi
expect 0 "" ./rded --ipc 2 --to rset1 --store store1
expect 0 "" "$ddg" run rded.ddg -D ipc=2 -D to=rset0 --store store0
same rset0 rset1

# ---- one store: what one has computed, the other finds ----
expect 0 '"computed"' ./infoutil --to warm --json --store store0
found_all "a compiled program computes what ddg run has stored"
same warm info0
expect 0 '"computed"' "$ddg" run infoutil.ddg -D samples=20 -D ipc=2 \
  -D sigma=0.3 -D to=warm --json --store store1
found_all "ddg run computes what a compiled program has stored"
same warm set0
expect 0 "no difference" ./rded --to warm --store store1 --audit 100%

# ---- away from everything it was made from ----
mkdir there && cp -r shapes shapes.onnx rded.ddg there
expect 0 "wrote moved" "$ddg" compile there/rded.ddg -o moved
rm there/rded.ddg there/shapes.onnx
mkdir elsewhere && mv moved elsewhere
(cd elsewhere && ./moved --to result --no-store >/dev/null 2>&1)
same rded0 elsewhere/result
mv there/shapes elsewhere/pictures
(cd elsewhere && ./moved --to result --data pictures/train --no-store >/dev/null 2>&1)
diff -r rded0 elsewhere/result | grep -v '"data"' | grep -q '^[<>]' &&
  fail "images in another place give another result"
expect 1 "shapes/train" elsewhere/moved --to result

# ---- what a newcomer gets wrong ----
expect 2 "did you mean \`--sigma\`?" ./infoutil --sigm 0.1
expect 2 "did you mean \`--store\`?" ./infoutil --stor x
expect 2 "unknown option \`--nothing-like-it\`" ./infoutil --nothing-like-it
expect 2 "unknown option \`-x\`" ./infoutil -x
expect 2 "--sigma wants a value" ./infoutil --sigma
expect 2 "-D wants name=value, not \`sigma\`" ./infoutil -D sigma
expect 2 "unexpected argument \`photos\`" ./infoutil photos
expect 2 "--threads wants a number from 1 to 1024, not \`many\`" ./infoutil --threads many
expect 2 "contradict" ./infoutil --store x --no-store
expect 1 "\`factor\` cannot be set any more: \`factor\` of \`" ./infoutil --factor 3
says "was compiled for 2"
says "compile again with -D factor=3"
expect 1 "\`model\` cannot be set any more" ./infoutil --model other.onnx
expect 1 "command line:1:9: error: param \`sigma\`: a float such as 0.5" ./infoutil --sigma much
expect 1 "must be between" ./infoutil --ipc 0
says "infoutil.ddg:18:"
expect 1 "which is for \`ddg run\`" ./infoutil --ipc 5,10
expect 1 "did you mean \`ipc\`?" ./infoutil -D icp=5
expect 1 "\`ipc\` is set twice" ./infoutil --ipc 5 -D ipc=6
expect 1 "nowhere" ./infoutil --data nowhere --to never
says "help: \`--data\` says where the images are"
[ ! -e never ] || fail "a mistake left a result"

# ---- results in one another, however their places are written ----
cat >two.ddg <<END
param first: string = "a"
param second: string = "b"
train = images("$here/data/shapes/train", size = 32, limit = 1)
save(train, to = first)
save(train, to = second)
END
expect 0 "wrote two" "$ddg" compile two.ddg -o two
expect 1 "a/in lies inside another result" ./two --second a/in --no-store
expect 1 "is a folder around another result" ./two --first "$work/b/in" --second b --no-store
expect 1 "is written twice" ./two --second a --no-store
expect 0 "" ./two --second ab --no-store
cat >tables.ddg <<END
param first: string = "c"
param second: string = "d/table"
train = images("$here/data/shapes/train", size = 32, limit = 1)
teacher = onnx("$teacher", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])
save(train, to = first)
report(accuracy(teacher, train), to = second)
report(accuracy(teacher, train, top = 2), to = "d/other")
END
expect 0 "wrote tables" "$ddg" compile tables.ddg -o tables
expect 1 "c/table.csv lies inside another result" ./tables --second c/table --no-store
expect 1 "d/table.csv lies inside another result" ./tables --first "$work/d" --no-store
expect 1 "written here already, as ./d/other.csv" ./tables --second ./d/other --no-store
[ ! -e c ] && [ ! -e d ] || fail "results in one another were written"
expect 0 "" ./tables --second e/table --no-store

# ---- a default that follows in too many steps to be kept ----
cat >steps.ddg <<END
param a: int = 1
param b: int = a$(printf ' + 0%.0s' $(seq 80))
train = images("$here/data/shapes/train", size = 32, limit = b)
save(topk(train, by = loss(onnx("$teacher", mean = [0.485, 0.456, 0.406],
  std = [0.229, 0.224, 0.225]), train), k = b), to = "steps")
END
expect 0 "wrote steps" "$ddg" compile steps.ddg -o steps.exe
expect 1 "param \`b\`: it follows from this in a way that is too large" ./steps.exe --a 2
expect 0 "wrote 20 rows" ./steps.exe --a 2 --b 2 --no-store
expect 0 "wrote 10 rows" ./steps.exe --no-store

# ---- help ----
cat >options.ddg <<END
param threads: int = 4       # rows kept of each class
param flag: bool = false     # not used
param names: [float] = [0.5, 1]
param twice: int = 2 * threads
train = images("$here/data/shapes/train", size = 32, limit = twice)
teacher = onnx("$teacher", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])
best = topk(train, by = loss(teacher, train), k = threads)
save(loss(teacher, best), to = "options.npy")
END
expect 0 "wrote options" "$ddg" compile options.ddg -o options
expect 0 "-D threads=int    rows kept of each class (default 4)" ./options --help
says "  --flag true|false not used (default false)"
says "  --names [float, ...] (default [0.5, 1])"
says "  --threads N       worker threads"
expect 0 "options, compiled by ddg" ./options --version
expect 0 "wrote 40 rows" ./options --threads 2 --flag true --names "[2]" --no-store
expect 0 "wrote 80 rows" ./options --threads 2 -D threads=8 --no-store
expect 0 "first kernel" ./options --time --no-store
expect 0 '"first_kernel_seconds"' ./options --time --json --no-store
expect 0 "compiled in; \`ddg compile -D name=value\` sets them" ./infoutil --help
says "the teacher: 32x32 RGB to logits (for \`path\` of \`onnx\`)"
says "$work/shapes/train)"

# ---- being told to stop ----
program_of small |
  sed 's/samples = 20/samples = 1500/; s/limit: int = 8/limit: int = 60/' >long.ddg
expect 0 "" "$ddg" compile long.ddg -o long
./long --to g --store slow >out 2>err </dev/null &
pid=$!
tries=0
while [ ! -e slow/locks ] && [ $tries -lt 300 ]; do sleep 0.1 && tries=$((tries + 1)); done
sleep 0.5
kill -TERM $pid
wait $pid
got=$?
cat out err >said
[ $got = 143 ] || fail "a stopped program ends with $got, not by SIGTERM: $(cat said)"
says "what was computed is in the store: the same command goes on from here"
[ ! -e g ] || fail "a stopped program left a result"

# ---- files that are wrong ----
cp rded stripped && strip stripped
expect 1 "\`strip\` and the like" ./stripped --help
says "cannot open \`./stripped\`: it holds no compiled program at its end"
size=$(wc -c <rded)
head -c $((size - 100)) rded >cut && chmod +x cut
expect 1 "it holds no compiled program" ./cut
cp rded flipped
printf 'damage' | dd of=flipped bs=1 seek=$((size - 5000)) conv=notrunc 2>/dev/null
expect 1 "ddg: error" ./flipped --no-store

# ---- the wrong tool ----
expect 1 "what \`ddg compile\` wrote is started by itself" "$ddg" run rded
expect 2 "-o wants the name of a file, not \`-\`" "$ddg" compile rded.ddg --emit asm -o -
expect 2 "did you mean \`ddg run rded.ddg\`?" "$ddg" rded.ddg
expect 2 "a param is set with \`-D ipc=VALUE\`" "$ddg" compile rded.ddg --ipc 3
expect 2 "a param is set with \`-D ipc=VALUE\`" "$ddg" run rded.ddg --ipc=3

# ---- the best target first, in whatever order they are named ----
expect 0 "" "$ddg" compile rded.ddg --target x86-64 --target x86-64-v3 -o sorted
expect 0 "for x86-64-v3, x86-64" ./sorted --version

# ---- machines that are wrong ----
if command -v qemu-x86_64 >/dev/null && ! ldd rded | grep -q asan; then
  expect 0 "" "$ddg" compile rded.ddg --target x86-64-v4 --target x86-64-v3 -o new
  expect 1 "avx2" qemu-x86_64 -cpu Nehalem ./new --to never
  [ ! -e never ] || fail "a program runs on a machine that it is not for"
  expect 0 "x86-64-v4, x86-64-v3" qemu-x86_64 -cpu Nehalem ./new --help
fi

# ---- what it needs ----
if ! ldd rded | grep -q asan; then
  ldd rded | grep -vE 'linux-vdso|ld-linux|lib(c|m)\.so' >needs
  [ ! -s needs ] || fail "a compiled program needs more than the C library: $(cat needs)"
  root=$(cd "$here/.." && pwd)
  if grep -qF -e "$root/runtime/" -e "$root/cli/" rded; then
    fail "a compiled program knows where ddg was built"
  fi
fi

[ $failed = 0 ] && echo "compiled programs do what ddg run does"
exit $failed
