#!/bin/sh
# Whole runs of the command: results that do not depend on the run, and input of every bad
# kind: the right exit code, words that say what is wrong, nothing left behind.
# usage: tests/e2e.sh DDG
. "$(dirname "$0")/rig.sh"
images=$here/data/shapes/train

expect() { # code, text, arguments of ddg ...
  expect_ddg "$@"
  shift 2
  if ls -a "$work" | grep -q 'ddg-'; then fail "ddg $*: left a temporary file"; fi
}
small() { # further arguments of a run that must fail with code 1, after the text
  text=$1
  shift
  expect 1 "$text" run "$here/cases/run/small.ddg" -D to=never "$@"
  [ ! -e never ] || fail "wrote a result after: $text"
}

# ---- results do not depend on the run ----
for threads in 1 2 3; do
  mkdir -p run$threads && cd run$threads || exit 1
  DDG_STORE=$work/store$threads # each computes everything itself
  expect 0 "" run "$here/cases/run/small.ddg" -D to=small --threads $threads
  expect 0 "" run "$here/cases/run/values.ddg" -D to=values --threads $threads
  cd ..
done
DDG_STORE=$work/store
same run1 run2
same run1 run3
mv run2/small t2
[ "$(ls run1/small | grep -c '^000')" = 10 ] || fail "not one folder a class"
[ -f run1/small/00003/class00003_id00000.png ] || fail "no image of class 3"
[ "$(wc -c <run1/small/labels.npy)" = 528 ] || fail "labels.npy is not f32 [10, 10]"
grep -q '"file": "arrow/' run1/small/manifest.json || fail "the manifest does not name its sources"
[ "$(wc -c <run1/values.exact.npy)" = 608 ] || fail "exact maps are not f32 [30, 2, 2]"
[ "$(wc -c <run1/values.gradnorm.npy)" = 156 ] || fail "gradient norms are not f32 [7]"

# ---- an older result is replaced, what somebody added to it stays ----
echo mine >t2/notes.txt
expect 0 "" run "$here/cases/run/small.ddg" -D to=t2 -D k=8
[ -f t2/notes.txt ] || fail "a file of somebody else was deleted"
[ -f t2/00003/class00003_id00001.png ] || fail "the older result is still there"
mkdir full && echo mine >full/photo.txt
expect 1 "full" run "$here/cases/run/small.ddg" -D to=full
[ "$(ls full)" = photo.txt ] || fail "touched a folder that is not ours"

# ---- data that is wrong ----
small "nowhere" -D data=nowhere
mkdir -p empty/cat empty/dog && cp "$images"/arrow/*0.jpg empty/cat/ 2>/dev/null
cp "$images"/arrow/0001.* empty/cat/
small "dog" -D data=empty
cp -r "$images" few && find few/star -type f | sort | tail -n +3 | xargs rm
small 'class' -D data=few
grep -q '`star` has 2' said || fail "topk does not name the class and its rows: $(cat said)"
mkdir -p two/a two/b && cp "$images"/arrow/0001.* two/a/ && cp "$images"/star/0001.* two/b/
small "has 2" -D data=two
cp -r "$images" cut
jpeg=$(ls cut/heart/*.jpg | head -n 1)
head -c 400 "$jpeg" >cut/x && mv cut/x "$jpeg"
small "$(basename "$jpeg")" -D data=cut -D limit=30
second=$(ls cut/ring/*.jpg | head -n 1)
cp "$second" whole && head -c 300 whole >"$second"
for threads in 1 2 4 7; do # the first in order is told, whoever meets one first
  expect 1 "$(basename "$jpeg")" run "$here/cases/run/small.ddg" -D data=cut -D limit=30 -D to=never --threads $threads
  mv said said$threads
  cmp -s said1 said$threads || fail "1 and $threads threads tell of different errors"
done
mv whole "$second"
expect 0 "" run "$here/cases/run/small.ddg" -D data=cut -D limit=30 -D on_error=skip -D to=skipped
grep -q "left out 1 file" out || fail "does not count what was left out"
grep -q "$(basename "$jpeg")" out || fail "does not list what was left out"
# A PNG whose header claims 50,000 x 50,000 pixels.
png=cut/ring/0000.png
printf '\211PNG\r\n\032\n\0\0\0\015IHDR\0\0\303\120\0\0\303\120\010\002\0\0\0\356\272\207\061' >$png
cp "$(ls "$images"/heart/*.jpg | head -n 1)" "$jpeg"
small "0000.png" -D data=cut

# ---- models that are wrong ----
small "nowhere.onnx" -D model=nowhere.onnx
head -c 100000 "$here/data/shapes.onnx" >cut.onnx
small "cut.onnx" -D model=cut.onnx
echo "not a model" >text.onnx
small "text.onnx" -D model=text.onnx

# ---- places that cannot be written ----
echo file >file
expect 1 "file" run "$here/cases/run/small.ddg" -D to=file/result
expect 1 "file" run "$here/cases/run/values.ddg" -D to=file/values
# A disk that fills up, as a limit on file sizes: every write past it fails.
(
  trap '' XFSZ
  ulimit -f 4
  "$ddg" run "$here/cases/run/small.ddg" -D to=disk >/dev/null 2>"$work/said"
  [ $? = 1 ] || exit 1
) || fail "a full disk: $(cat said)"
[ ! -e disk ] || fail "a full disk left a result"
if ls -a | grep -q 'ddg-'; then fail "a full disk left a temporary file"; fi

# ---- what check finds, and folders that are not there yet ----
echo 'param n: int = 128
train = images("'"$images"'", size = 32, limit = 1)
teacher = onnx("'"$here"'/data/shapes.onnx", mean = [0.5, 0.5, 0.5], std = [0.2, 0.2, 0.2])
save(shap_patches(teacher, train, grid = 4, samples = n, seed = 0), to = "new/folder/phi.npy")' >few.ddg
expect 1 "16 coalitions cannot determine 16" check few.ddg -D n=16
expect 0 "" check few.ddg
expect 0 "" run few.ddg
[ "$(wc -c <new/folder/phi.npy)" = 768 ] || fail "maps are not f32 [10, 4, 4]"

# A network of one size given images of another says so, whatever is done with it.
for score in 'loss(teacher, x)' 'gradnorm(teacher, x)' 'relabel(teacher, x)'; do
  echo 'x = images("'"$images"'", size = 32)
teacher = onnx("'"$here"'/data/onnx/convnet.onnx", mean = [0.5, 0.5, 0.5], std = [0.2, 0.2, 0.2])
save('"$score"', to = "never.npy")' >other.ddg
  expect 1 "wants images of 16 x 16 and cannot take 32 x 32" check other.ddg
done
if "$ddg" ops >/dev/full 2>/dev/null; then fail "output that cannot be written is no success"; fi

# ---- the command line ----
expect 2 "unknown command" frobnicate
expect 2 "wants FILE" run
expect 2 "--threads" run x.ddg --threads 0
expect 2 "there is no stage" dump "$here/cases/run/small.ddg" --after nothing
expect 1 "did you mean \`crop\`" ops corp
expect 1 "limit" check "$here/cases/run/small.ddg" -D limt=3
expect 0 "" --version
expect 0 "" --help
for stage in graph lower cache diff fold-norm sqnorm shapes narrow fuse hand-over algorithms layout memory llvm asm; do
  expect 0 "" dump "$here/cases/run/small.ddg" --after $stage
  [ -s out ] || fail "dump --after $stage is empty"
done

[ $failed = 0 ] && echo "all whole runs are as expected"
exit $failed
