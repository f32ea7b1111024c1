#!/bin/sh
# `check` and `ddg check --data`: a teacher that is what the program takes it for, and ones that
# are not; as part of runs, of compiled programs, over the store, by any number of threads.
# usage: tests/check.sh DDG
. "$(dirname "$0")/rig.sh"
images=$here/data/shapes/train

expect() { expect_ddg "$@"; }
# A member of the stage of that name, in the report of `ddg run --json`.
stage() { sed -n "/\"name\": \"$1\"/,/}/s/.*\"$2\": \([0-9]*\).*/\1/p" out | head -n 1; }

cat >shapes.ddg <<EOF
param data: string = "$images"
param mean: [float] = [0.485, 0.456, 0.406]
param std: [float] = [0.229, 0.224, 0.225]
param sure: float = 0.5
param each: int = 20
train = images(data, size = 32)
teacher = onnx("$teacher", mean = mean, std = std)
save(topk(train, by = loss(teacher, train), k = 2), to = "result")
check(teacher, train, per_class = each, at_least = sure)
EOF
grep -v '^check' shapes.ddg >plain.ddg

# ---- check without --data reads nothing ----
expect 0 "" check shapes.ddg -D data=nowhere
expect 1 "nowhere" check shapes.ddg -D data=nowhere --data

# Images that say nothing of their class.
n=0
for image in "$images"/*/*; do
  n=$((n + 1))
  mkdir -p mixed/$((n % 10)) && cp "$image" mixed/$((n % 10))/$n."${image##*.}"
done

# ---- a teacher that knows its images, and the same program taken wrongly ----
for program in shapes plain; do
  expect 0 'check: `teacher` gets' check $program.ddg --data
  says_not warning
done
expect 0 'ImageNet'"'"'s normalisation' \
  check plain.ddg --data -D mean=[0.1,0.9,0.5] -D std=[1,1,1]
says 'check `mean` and `std` of onnx(...)'
says_not 'is read here'
expect 0 '`teacher` is read here' \
  check shapes.ddg --data -D mean=[0.1,0.9,0.5] -D std=[1,1,1] -D sure=0
[ ! -e result ] || fail "check wrote a result"
expect 1 'no better than guessing' check plain.ddg --data -D data=mixed

# ---- folders whose names sort otherwise ----
i=0
for class in $(ls "$images"); do # ten classes: 1, 10, 2, ...
  i=$((i + 1))
  mkdir -p numbers && cp -r "$images/$class" numbers/$i
done
expect 1 'in the order of the numbers in their names' check plain.ddg --data -D data=numbers
says 'write the numbers with leading zeros'
mkdir swapped && cp -r "$images"/* swapped/
mv swapped/arrow x && mv swapped/star swapped/arrow && mv x swapped/star
expect 0 '`arrow` (0) is mostly output' check plain.ddg --data -D data=swapped
cp -r "$images" fewer && rm -r fewer/arrow
expect 1 'tells 10 classes apart, but' check plain.ddg --data -D data=fewer

# ---- as part of a run: first, whatever the order of lines ----
rm -r store
expect 0 'check: `teacher` gets' run shapes.ddg --json
[ "$(stage check computed)" = 200 ] || fail "a run does not compute 200 answers: $(cat out)"
grep -q '"right": ' out || fail "the report lacks the check: $(cat out)"
expect 0 'check: `teacher` gets' run shapes.ddg --json
[ "$(stage check reused)" = 200 ] || fail "a second run computes answers again: $(cat out)"
[ "$(stage check computed)" = 0 ] || fail "a second run computes answers again: $(cat out)"
rm -r result store
expect 1 'and `at_least` wants 90%' run shapes.ddg -D sure=0.9 -D mean=[9,9,9] --json
[ ! -e result ] || fail "a run went on behind a check that failed"
expect 0 'check' plan shapes.ddg
says 'check (otherwise)'
expect 0 'check' why shapes.ddg check
expect 0 '' dump shapes.ddg --after cache

# ---- the same from any number of threads, with and without a store ----
for threads in 1 2 3; do
  expect 0 '' check shapes.ddg --data --threads $threads --no-store --json \
    -D mean=[0.1,0.9,0.5] -D std=[1,1,1] -D sure=0
  sed '/"store"/,$d' out >threads$threads
  cmp -s threads1 threads$threads || fail "1 and $threads threads tell of different checks"
done
grep -q '"what": "with red and blue swapped"' threads1 || fail "other ways are not reported"

# ---- compiled ----
expect 0 '' compile shapes.ddg -o shapes
expect_command 0 'check: `teacher` gets' ./shapes
expect_command 0 'of `train` right' ./shapes --each 3 --sure 0.25
says ' of 30 images'
expect_command 1 'wants 100%' ./shapes --sure 1 --no-store --data "$work/swapped"

# ---- of what was made of images, and alone ----
sed 's/^save.*//; s/^check.*/check(teacher, stitch(train, factor = 1, size = 40))/' \
  shapes.ddg >alone.ddg
expect 0 'check: `teacher` gets' run alone.ddg
expect 0 'check: `teacher` gets' check alone.ddg --data

# ---- where it may stand ----
echo 'x = check(1, 2)
def f(a) {
  check(a, a)
  return a
}' >wrong.ddg
expect 1 '`check` gives no value; it stands on a line of its own' check wrong.ddg
says '`check` cannot stand inside a `def`'
expect 0 'per_class' ops check

[ $failed = 0 ] && echo "all checks are as expected"
exit $failed
