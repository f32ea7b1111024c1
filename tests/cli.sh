#!/bin/sh
# The command line of the store: what its commands and options say and how they end, sweeps,
# reports for scripts, and runs that are told to stop.
# usage: tests/cli.sh DDG
. "$(dirname "$0")/rig.sh"
small=$here/cases/run/small.ddg

expect() { expect_ddg "$@"; }
silent() { [ ! -s err ] || fail "$1: $(cat err)"; }

# ---- what a newcomer gets wrong ----
expect 2 "did you mean \`run\`?" rnu "$small"
expect 2 "did you mean \`store stats\`?" store stat
expect 2 "stats, verify, gc, clear, path" store
expect 2 "one argument too many for \`ddg store stats\`: \`here\`" store stats here
expect 2 "\`ddg store verify\` takes no --size" store verify --size 1G
expect 2 "a size such as 5G or 500M, not \`five\`" store gc --size five
expect 2 "--size wants a value" store gc --size
expect 2 "\`ddg store path\` takes no --threads" store path --threads 2
expect 2 "\`ddg store clear\` takes no --after" store clear --after lower
expect 2 "did you mean \`--store\`?" run "$small" --stor x
expect 2 "a percentage such as 1%" run "$small" --audit 1
expect 2 "a percentage such as 1%" run "$small" --audit 0%
expect 2 "a percentage such as 1%" run "$small" --audit 100.5%
expect 2 "contradict" run "$small" --store x --no-store
expect 2 "--audit checks what the store holds" run "$small" --audit 1% --no-store
expect 2 "--store wants a folder" run "$small" --store ""
expect 2 "takes no value" run "$small" --no-store=yes
expect 2 "-D wants name=value, not \`k\`" run "$small" -D k
expect 2 "wants FILE.ddg" plan
expect 1 "unknown target \`z80\`: expected native, x86-64" plan "$small" --target z80
expect 1 "each target is a --target" plan "$small" --target x86-64,x86-64-v3
expect 2 "takes no --target" check "$small" --target native
expect 2 "\`ddg plan\` takes no --audit" plan "$small" --audit 1%
expect 1 "nowhere.ddg" plan nowhere.ddg
expect 2 "wants FILE.ddg NAME" why "$small"
expect 1 "did you mean \`phi\`?" why "$small" ph
expect 2 "one value for each param, not a sweep of 2 points" why "$small" phi -D k=4,8
expect 2 "not a sweep" dump "$small" -D k=4,8
[ ! -e store ] || fail "a mistake made a store"
for command in check plan run why dump "store stats" "store gc" "store path" ops; do
  expect 0 "ddg $command" $command --help
  expect 0 "ddg $command" help $command
done
expect 0 "DDG_STORE_SIZE" --help

# ---- no store yet ----
for command in stats verify gc clear; do
  expect 0 "no store at $work/store yet" store $command
  silent "store $command of no store"
  expect 0 '"exists": false' store $command --json
done
expect 0 "$work/store" store path
expect 0 "elsewhere" store path --store elsewhere
expect 0 '"exists": false' store path --json
HOME='' XDG_CACHE_HOME='' DDG_STORE='' expect 1 "--store DIR does" store path
[ ! -e store ] || fail "looking made a store"

# ---- places that are no store ----
mkdir strange && echo mine >strange/photo.jpg
echo mine >file
for command in stats verify gc clear; do
  expect 1 "photo.jpg" store $command --store strange
  expect 1 "it is a file" store $command --store file
done
expect 0 "warning: results are not remembered" run "$small" -D to=a --store strange
[ "$(ls strange)" = photo.jpg ] || fail "touched a folder that is no store"
expect 0 "warning: nothing is looked up" plan "$small" --store file

# ---- a run, the plan before it, and the next run ----
expect 0 "?: nothing of the kind has been computed yet" plan "$small"
expect 0 "" plan "$small" --json
member phi reused 0
member phi computed 80
[ ! -e store ] || fail "a plan made a store"
expect 0 '"computed": 80' run "$small" -D to=b --json
member phi computed 80
[ "$(ls -ld store | cut -c 1-10)" = drwx------ ] || fail "others may look into the store"
expect 0 "wrote 10 rows to c" run "$small" -D to=c
diff -r a b >/dev/null || fail "a store changes the result"
diff -r b c >/dev/null || fail "the second run has another result"
expect 0 '"damaged": 0' run "$small" -D to=c --json
! grep '"name"' -A 5 out | grep -v '"save"' | grep -A 3 '"op"' |
  grep '"computed": [1-9]' | grep -v '"computed": 10' || fail "computed anything again"
expect 0 "first kernel" run "$small" -D to=c --time
says "make machine code"
says "close the store"
expect 0 '"first_kernel_seconds": 0.' run "$small" -D to=c --time --json
says '"name": "pass fuse"'
expect 0 "wrote 10 rows to c" run "$small" -D to=c
! grep -q "first kernel" out || fail "says where the time goes though nobody asked"
expect 0 "0 B" plan "$small" -D k=8
expect 0 "every row of it is in the store" why "$small" phi
program_of small | sed "s/samples = 20/samples = 30/" >more.ddg
expect 0 "samples 20 -> 30" why more.ddg phi
expect 0 '"kind": "changed"' why more.ddg phi --json
expect 0 "no difference" run "$small" -D to=c --audit 100%
expect 0 "shap_patches" store stats
silent "store stats"
expect 0 '"op": "shap_patches"' store stats --json
expect 0 "nothing in it is damaged" store verify
expect 0 "removed" store gc --size 0
expect 0 '"max_bytes": 1024' store gc --size 1K --json
expect 0 "removed" store clear
expect 0 '"values": 0' store stats --json
expect 0 "wrote 10 rows to d" run "$small" -D to=d --no-store
diff -r b d >/dev/null || fail "--no-store changes the result"
expect 0 '"values": 0' store stats --json

# ---- damage ----
expect 0 "" run "$small" -D to=c
db=$(ls store/store-*.db)
size=$(wc -c <"$db")
printf 'damage damage damage' | dd of="$db" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
expect 1 "damaged" store verify
expect 0 "nothing in it is damaged" store verify
expect 0 "" run "$small" -D to=c
diff -r b c >/dev/null || fail "damage shows in the result"

# ---- sweeps ----
"$ddg" store clear >/dev/null
expect 0 "" check "$small" -D k=4,8
expect 1 "at k=0" check "$small" -D k=4,0
says "1 of 2 points are wrong"
expect 1 "at k=0" run "$small" -D k=4,0 -D to=e
[ ! -e k=4 ] || fail "ran a point of a sweep that has a mistake"
expect 0 "point 2 of 2: k=8" run "$small" -D k=4,8 -D to=e
says "2 points, 0 failed"
diff -r b k=4/e >/dev/null || fail "a point of a sweep has another result"
[ -f k=8/e/00003/class00003_id00001.png ] || fail "the sweep's second point is not there"
expect 0 '"point": "k=8"' plan "$small" -D k=4,8 --json
expect 0 '"point": "k=8"' run "$small" -D k=4,8 -D to=e --json
expect 0 "warning" run "$small" -D k=4,8 -D to=e --store file --json
! grep -q '"reused": 80' out && fail "points without a store share nothing"
# One point fails when it runs: the other one has run, and the command has not done well.
expect 1 "\`arrow\` has 8" run "$small" -D k=4,400 -D to=f
says "wrote 10 rows to k=4/f"
says "2 points, 1 failed"

# ---- being told to stop ----
program_of small |
  sed 's/samples = 20/samples = 1500/; s/limit: int = 8/limit: int = 12/' >long.ddg
stop() { # signal, arguments ...: stops a run when its store is open
  signal=$1
  shift
  rm -rf slow
  "$ddg" run long.ddg -D to=g "$@" >out 2>err </dev/null &
  pid=$!
  tries=0
  while [ ! -e slow/locks ] && [ $tries -lt 300 ]; do sleep 0.1 && tries=$((tries + 1)); done
  sleep 0.5
  kill -"$signal" $pid
  wait $pid
  got=$?
  cat out err >said
}
stop TERM --store slow
[ $got = 143 ] || fail "a stopped run ends with $got, not by SIGTERM: $(cat said)"
says "of 120 rows of phi; what was computed is in the store: the same command goes on from here"
[ ! -e g ] || fail "a stopped run left a result"
if ls -a | grep -q 'ddg-'; then fail "a stopped run left a temporary file"; fi
expect 0 "nothing in it is damaged" store verify --store slow
expect 0 "wrote 10 rows to g" run long.ddg -D to=g --store slow
expect 0 "wrote 10 rows to h" run long.ddg -D to=h --no-store
diff -r g h >/dev/null || fail "a run that was stopped and went on has another result"

[ $failed = 0 ] && echo "the command line is as expected"
exit $failed
