#!/bin/sh
# Programs that train: the same bits from any number of threads, from the store, stopped and
# gone on with, killed, and compiled; what plan, why and check say of them; their tables as
# files; what is wrong.
# usage: tests/train.sh DDG
. "$(dirname "$0")/rig.sh"
images=$examples/shapes

expect() { expect_ddg "$@"; }
trained() { grep -c '"reused": false' out; } # trainings of the run with --json before

cat >train.ddg <<EOF
param epochs: int = 4
param rate: float = 0.02
param each: int = 12
param seeds: [int] = [0, 1]
param data: string = "$images/train"
param to: string = "result"
train = images(data, size = 16, limit = each)
test = images("$images/test", size = 16, limit = 8)
net = convnet(classes = 10, size = 16, width = 8, depth = 2)
teacher = train(net, train, epochs = epochs, batch = 16, rate = rate, keep = [1],
                augment = [padded_crop(pad = 2), flip()])
best = topk(train, by = gradnorm(teacher, train), k = 4, per = class)
def student(data, teacher, s) {
  net = mlp(classes = 10, size = 16, hidden = [24], seed = s)
  return train(net, data, epochs = 5, labels = ask(teacher, temperature = 4), batch = 8,
               optimizer = "adamw", rate = 0.01, seed = s, augment = [cutmix()])
}
save(relabel(teacher, test), to = to + "/teacher.npy")
save(relabel(student(best, teacher@1, 0), test), to = to + "/student.npy")
save(teacher, to = to + "/teacher.onnx")
save(teacher@1, to = to + "/early.onnx")
report(mean_std([accuracy(student(best, teacher@1, s), test) for s in seeds]), to = to + "/spread")
report([[accuracy(m, x, top = 3) for x in [train, test]] for m in [teacher@1, teacher]])
report(confusion(teacher, test), to = to + "/confusion")
EOF

# ---- checks, and looks before anything is trained ----
expect 0 "" check train.ddg
expect 0 "" check --data train.ddg
expect 0 'would be trained; what depends on them is not known before' plan train.ddg
expect 0 'never computed' why train.ddg teacher
expect 1 'would be trained' why train.ddg gradnorm
[ ! -e result ] || fail "a look wrote something"

# ---- once, and again ----
expect 0 'train: teacher, 4 epochs: 32 steps' run --threads 1 train.ddg
says 'wrote result/spread.csv and result/spread.json'
says ' +- '
says 'rows are the classes, columns what is answered'
mv result once
expect 0 '"reused": true' run --json train.ddg
found_all "the same again"
[ "$(trained)" = 0 ] || fail "trained again: $(cat out)"
same once result
expect 0 '"untrained": [' plan --json train.ddg
expect 0 'it is in the store' why train.ddg teacher
expect 0 'every row of it is in the store' why train.ddg gradnorm

# ---- any number of threads, no store ----
for threads in 2 3; do
  expect 0 'train: teacher, 4 epochs: 32 steps' run --no-store --threads $threads train.ddg
  same once result
done

# ---- what another seed, and one more, share ----
expect 0 "" run --json train.ddg -D seeds=[1,2]
[ "$(trained)" = 1 ] || fail "a new seed trained $(trained) networks"
expect 0 'epochs 4 -> 3' why train.ddg teacher -D epochs=3
expect 0 "" run --json train.ddg -D rate=0.02,0.03 -D seeds=[0]
[ "$(trained)" = 2 ] || fail "a sweep over a rate trained $(trained) networks"
[ -f result/rate=0.03/spread.csv ] || fail "points share a table: $(find . -name spread.csv)"

# ---- tables as files ----
[ "$(head -n 1 once/spread.csv)" = row,column,measure,value,std,n ] || fail "$(cat once/spread.csv)"
grep -q '^[^,]*,,mean_std,[0-9.]*,[0-9.]*,2$' once/spread.csv || fail "$(cat once/spread.csv)"
[ "$(wc -l <once/confusion.csv)" = 101 ] || fail "confusion: $(wc -l <once/confusion.csv) lines"
python3 - once/spread.json once/confusion.json <<'EOF' || fail "tables are no JSON"
import json, sys
spread, confusion = (json.load(open(f)) for f in sys.argv[1:])
cell = spread["cells"][0][0]
assert cell["measure"] == "mean_std" and len(cell["of"]) == 2
assert abs(sum(cell["of"]) / 2 - cell["mean"]) < 1e-9
assert spread["params"]["epochs"] == 4 and "to" not in spread["params"]
assert len(spread["models"]["teacher"]["digest"]) == 32
cell = confusion["cells"][0][0]
assert sum(map(sum, cell["counts"])) == cell["images"] == 80 and len(cell["classes"]) == 10
EOF

# ---- stopped and killed, then gone on with ----
rm -rf result
long="-D epochs=60 -D each=30 -D seeds=[0]"
expect 0 "" run --no-store train.ddg $long
mv result undisturbed
stopped=0
for delay in 0.2 0.4 0.6 0.8 1.0 1.3 1.6 2.0; do
  timeout -s INT $delay "$ddg" run train.ddg $long >said 2>&1
  grep -q 'the same command goes on from here' said && stopped=$((stopped + 1))
done
[ $stopped -gt 0 ] || fail "no run was stopped: $(cat said)"
for delay in 0.3 0.7 1.1; do
  timeout -s KILL $delay "$ddg" run train.ddg $long >said 2>&1
done
expect 0 "" run train.ddg $long
same undisturbed result
rm -rf result

# ---- networks as files are the networks ----
cat >file.ddg <<EOF
test = images("$images/test", size = 16, limit = 8)
teacher = onnx("once/teacher.onnx", mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25])
save(relabel(teacher, test), to = "result/teacher.npy")
EOF
expect 0 '"reused": 80' run --json file.ddg
found_all "what was trained is known as a file"
same once/teacher.npy result/teacher.npy
rm -rf result

# ---- compiled: what was trained is in the file ----
expect 1 'compiled programs cannot save networks' compile train.ddg -o trained
grep -v 'onnx"' train.ddg >plain.ddg
expect 0 'train: teacher, 4 epochs from the store' compile plain.ddg -o trained
expect 0 'result/spread: 1 x 1: mean_std' inspect trained
expect_command 0 'wrote' ./trained --no-store
says_not 'train:'
rm once/*.onnx once/*.json result/*.json # which say how the program is called
same once result
expect_command 1 '`epochs` of `train` was compiled for 4' ./trained --epochs 3
expect_command 0 "wrote" ./trained --to elsewhere
rm elsewhere/*.json && same once elsewhere

# ---- what is wrong ----
expect 1 'no longer a number in step' run train.ddg -D rate=1e6
says 'lower `rate`'
# Each seed stands in what is written, also of values that have no names.
cat >seeds.ddg <<EOF
train = images("$images/train", size = 8, limit = 4)
all = [train(mlp(classes = 10, size = 8, seed = s), train, epochs = 1, rate = 0.1, seed = 7 + s)
       for s in [0, 1]]
report([accuracy(m, train) for m in all], to = "seeds")
EOF
expect 0 'wrote seeds.csv' run seeds.ddg
[ "$(grep -c '"mlp' seeds.json)$(sed -n 's/^ *\("mlp[^:]*\): .*/\1/p' seeds.json | sort -u | wc -l)" = 22 ] ||
  fail "not each seed: $(cat seeds.json)"
# A batch norm of one number a channel, and one image in a batch.
cat >single.ddg <<EOF
param batch: int = 8
param each: int = 4
train = images("$images/train", size = 4, limit = each)
deep = resnet(classes = 10, size = 4, depth = 8)
net = train(deep, train, epochs = 1, batch = batch, rate = 0.1)
save(net, to = "single.onnx")
EOF
expect 1 'of 40 images by 13 one is left over for the last batch of `net`' run single.ddg -D batch=13
says "single.ddg:5:"
says 'another `batch`'
expect 1 'cannot be trained by batches of one image' check single.ddg -D batch=1
# Numbers run out late: the message says how the model before is had, without training.
cat >late.ddg <<EOF
train = images("$images/train", size = 16, limit = 12)
net = convnet(classes = 10, size = 16, width = 8, depth = 2)
wild = train(net, train, epochs = 6, batch = 16, rate = 200, warmup = 5.5)
report(accuracy(wild, train))
EOF
expect 1 'is kept in the store: `keep = [' run late.ddg
good=$(sed -n 's/.*`wild@\([0-9]*\)`.*/\1/p' said)
sed "s/warmup/keep = [$good], warmup/; s/(wild,/(wild@$good,/" late.ddg >early.ddg
expect 0 "train: wild, $good epoch" run early.ddg
says 'from the store'
mkdir -p few/a few/b
cp "$(find "$images/train" -type f | head -n 1)" few/a/1.png
cp "$(find "$images/train" -type f | tail -n 1)" few/b/1.png
expect 1 'classes' run train.ddg -D data=few
cat >other.ddg <<EOF
train = images("$images/train", size = 16)
teacher = train(mlp(classes = 10, size = 16), train, epochs = 2, rate = 0.1)
report(accuracy(teacher@3, train))
EOF
expect 1 '3' check other.ddg
sed 's/@3//; s/size = 16)$/size = 32)/' other.ddg >sizes.ddg
expect 1 'mlp' check sizes.ddg

[ $failed = 0 ] && echo "programs that train do so"
[ $failed = 0 ]
