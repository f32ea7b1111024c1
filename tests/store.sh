#!/bin/sh
# A disk that fails under the store, by fault injection at the system calls (tests/fault): a
# kill, a power cut, an error, a vanished folder at call N of a run, for N all over it. Twice:
# under store_driver, which needs milliseconds and knows what must be there, and under ddg.
# What is killed by chance, flipped or shared by processes is in survive.sh.
# usage: tests/store.sh DDG SHIM STORE_DRIVER [fast|full]   (full: ten minutes)
set -u
ddg=$(realpath "$1") shim=$(realpath "$2") driver=$(realpath "$3") mode=${4:-fast}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export DDG_STORE="$work/no-such-store"
failed=0 rows=24
case $mode in
fast) kills=12 cuts=40 errors=6 vanish=6 ddg_kills=3 ddg_cuts=5 ddg_errors=1 ;;
full) kills=300 cuts=4000 errors=120 vanish=150 ddg_kills=60 ddg_cuts=200 ddg_errors=12 ;;
*) echo "fast or full, not $mode" && exit 2 ;;
esac

fail() {
  echo "FAIL: $*"
  failed=$((failed + 1))
}
fail_before=0
good() { # says that a check went well, if nothing failed in it
  [ $failed = $fail_before ] && echo "ok: $*"
  fail_before=$failed
}
faulty() { # settings ... command: under the shim; its words are in out and said
  env LD_PRELOAD="$shim" FAULT_DIR="$work/s" "$@" >out 2>said </dev/null
}
warnings() { # how many the last run gave
  grep -c '^warning' said
}
spread() { # i, of how many, calls: the i-th of so many moments of a run
  echo $((1 + (2 * $1 + 1) * $3 / (2 * $2)))
}
value_of() { # what `computed 3 reused 4` says of a name
  sed -n "s/.*$1 \([0-9]*\).*/\1/p" out | tail -n 1
}

# ---- the store by itself ----
fill() { # settings ...: a run of the driver in the folder s
  faulty "$@" "$driver" fill s $rows
}
calls() { # settings: how many calls the mode counts in an undisturbed run; a fresh folder
  rm -rf s
  fill "$@" FAULT_COUNT="$work/count" || fail "the driver does not run: $(cat said)"
  cat count
}
kept() { # how many rows the last run said will be found
  n=$(sed -n 's/^kept //p' out | tail -n 1)
  echo "${n:-0}"
}
# A log that lost power in a transaction can look like one that was damaged after a commit;
# and a disk that cannot read a page is damaged. Both are repaired by whoever opens the store
# next, who says so. `repaired` counts them. Nothing that was kept may be lost by it.
may_repair=no repaired=0
sound_by() { # what happened, a command that verifies the store
  after_what=$1
  shift
  "$@" >verified 2>&1
  code=$?
  if [ $may_repair = yes ] && grep -q '^warning: the store was damaged' verified; then
    repaired=$((repaired + 1))
    "$@" >verified 2>&1
    code=$?
  fi
  [ $code = 0 ] && ! grep -q '^warning' verified || fail "$after_what: store verify: $(cat verified)"
}
whole() { # what happened: the store is sound, and what was promised is there
  [ -d s ] || return
  sound_by "$1" "$driver" verify s
  "$driver" holds s "$(kept)" >held 2>&1 || fail "$1: of $(kept) rows kept $(cat held)"
}
dead() { # code, what happened: killed, or (how many calls a run makes varies) done before
  [ "$1" != 137 ] || died=$((died + 1))
  [ "$1" = 137 ] || [ "$1" = 0 ] || fail "$2: exit code $1: $(cat said)"
}
goes_on() { # what happened: the next run does what is left, and says nothing
  before=$(kept)
  "$driver" fill s $rows >out 2>said || fail "$1: the next run: $(cat said)"
  [ "$(warnings)" = 0 ] || fail "$1: the run after that says: $(cat said)"
  [ "$(value_of computed)" -le $((2 * rows - 2 * before)) ] ||
    fail "$1: $before kept, but $(value_of computed) computed again"
  "$driver" verify s >verified 2>&1 || fail "$1: verify after the next run: $(cat verified)"
}

total=$(calls FAULT_KILL=0)
i=0 died=0
while [ $i -lt $kills ]; do
  n=$(spread $i $kills "$total")
  rm -rf s
  fill FAULT_KILL="$n"
  dead $? "killed at call $n"
  whole "killed at call $n"
  goes_on "killed at call $n"
  i=$((i + 1))
done
[ $died -ge $((kills / 2)) ] || fail "only $died of $kills runs were killed"
good "store: $died kills over $total calls: sound, what was kept is there"

total=$(calls FAULT_CRASH=0)
i=0 died=0 may_repair=yes
while [ $i -lt $cuts ]; do
  n=$(spread $i $cuts "$total")
  rm -rf s
  # Every third time on a store that has something already, and may checkpoint it.
  [ $((i % 3)) != 0 ] || "$driver" fill s 8 >/dev/null 2>&1
  fill FAULT_CRASH="$n" FAULT_SEED=$i
  dead $? "power cut at call $n, seed $i"
  whole "power cut at call $n, seed $i"
  goes_on "power cut at call $n, seed $i"
  i=$((i + 1))
done
[ $died -ge $((cuts / 2)) ] || fail "only $died of $cuts runs lost power"
good "store: $died power cuts over $total calls: sound ($repaired repaired), what was kept is there"

tried=0 stopped=0 repaired=0
for error in ENOSPC EDQUOT EIO EROFS EACCES; do
  may_repair=no
  [ $error != EIO ] || may_repair=yes
  total=$(calls FAULT_FAIL=0:$error)
  for how in "" :one :short :half; do
    i=0
    while [ $i -lt $errors ]; do
      n=$(spread $i $errors "$total")
      what="$error$how at call $n"
      rm -rf s
      fill FAULT_FAIL="$n:$error$how" || fail "$what: exit code, or: $(cat said)"
      said=$(warnings) computed=$(value_of computed)
      [ "$said" -le 1 ] || fail "$what: says $said things: $(cat said)"
      [ "$computed" = $((2 * rows)) ] || fail "$what: computed $computed rows"
      was=$(kept)
      whole "$what"
      "$driver" fill s $rows >out 2>later || fail "$what: the next run: $(cat later)"
      again=$(value_of computed)
      [ "$again" = 0 ] || stopped=$((stopped + 1))
      [ "$again" = 0 ] || [ "$said" = 1 ] || fail "$what: $again rows lost, and nothing said"
      [ "$again" -le $((2 * rows - 2 * was)) ] || fail "$what: $was kept, $again computed again"
      [ ! -s later ] || fail "$what: the next run says: $(cat later)"
      "$driver" verify s >verified 2>&1 || fail "$what: then verify: $(cat verified)"
      tried=$((tried + 1)) i=$((i + 1))
    done
  done
done
good "store: $tried failing disks: all rows right, said once; $stopped stored less, $repaired repaired"
may_repair=no

total=$(calls FAULT_VANISH=0)
i=0
while [ $i -lt $vanish ]; do
  n=$(spread $i $vanish "$total")
  rm -rf s
  fill FAULT_VANISH="$n" || fail "vanished at call $n: exit code, or: $(cat said)"
  [ "$(warnings)" -le 1 ] || fail "vanished at call $n: says $(cat said)"
  # At the very end all has been said already.
  [ -d s ] || [ "$(warnings)" = 1 ] || [ "$n" -gt $((total * 3 / 4)) ] ||
    fail "vanished at call $n: nothing said"
  i=$((i + 1))
done
good "store: vanished at $vanish of $total calls"

# Four at once, three of them killed; then four that stay.
for seed in 1 2 3; do
  rm -rf s
  for p in 1 2 3 4; do
    env LD_PRELOAD="$shim" FAULT_DIR="$work/s" FAULT_KILL=$((p > 3 ? 0 : 40 * p * seed)) \
      "$driver" fill s $rows >out$p 2>said$p &
  done
  wait
  [ ! -s said4 ] || fail "one of four, the others killed: $(cat said4)"
  cp out4 out
  whole "four at once, seed $seed"
done
rm -rf s
for p in 1 2 3 4; do "$driver" fill s $rows >out$p 2>said$p & done
wait
cat out1 out2 out3 out4 >out
all=$(sed -n 's/^computed \([0-9]*\).*/\1/p' out | awk '{ n += $1 } END { print n }')
cat said1 said2 said3 said4 >said
[ ! -s said ] || fail "four at once say: $(cat said)"
[ "$all" -le $((2 * rows * 11 / 10)) ] || fail "four at once computed $all rows of $((2 * rows))"
whole "four at once"
good "store: four at once, kills among them; four that stay compute $all rows of $((2 * rows))"

# ---- whole runs ----
cat >program.ddg <<END
train = images("$here/data/shapes/train", size = 32, limit = 6)
teacher = onnx("$here/data/shapes.onnx", mean = [0.5, 0.5, 0.5], std = [0.2, 0.2, 0.2])
save(relabel(teacher, train, temperature = 20), to = "result.npy")
END
run() { # settings ... -- options ...
  rm -f result.npy
  faulty "$@" "$ddg" run program.ddg --store s --json
}
right() { # what happened: a run that ended well, with the right result
  cmp -s result.npy undisturbed.npy || fail "ddg, $1: another result: $(cat said)"
  [ "$(warnings)" -le 1 ] || fail "ddg, $1: says $(warnings) things: $(cat said)"
}
sound() {
  [ ! -d s ] || sound_by "ddg, $1" "$ddg" store verify --store s
}
finish() { # what happened: an undisturbed run on what is there
  "$ddg" run program.ddg --store s --json >out 2>said || fail "ddg, $1: the next run: $(cat said)"
  right "$1, the next run"
  [ "$(warnings)" = 0 ] || fail "ddg, $1: the next run says: $(cat said)"
  sound "$1, the next run"
}
moments() { # how many, setting with N for the call, what it is called
  rm -rf s
  run "$(echo "$2" | sed 's/=N/=0/')" FAULT_COUNT="$work/count" || fail "ddg: $(cat said)"
  total=$(cat count) i=0 died=0
  while [ $i -lt "$1" ]; do
    n=$(spread $i "$1" "$total")
    rm -rf s
    run "$(echo "$2" | sed "s/=N/=$n/")" FAULT_SEED=$i
    code=$?
    after "$3 at call $n" $code
    i=$((i + 1))
  done
}
after_death() {
  dead "$2" "ddg, $1"
  sound "$1"
  finish "$1"
}
after_error() {
  [ "$2" = 0 ] || fail "ddg, $1: exit code $2: $(cat said)"
  right "$1"
  said=$(warnings)
  sound "$1"
  finish "$1"
  again=$(tr -d ' \n' <out | sed 's/"stages":\[[^]]*\]//; s/.*"computed":\([0-9]*\).*/\1/')
  [ "$again" = 0 ] || [ "$said" = 1 ] || at_the_end ||
    fail "ddg, $1: $again rows lost, and nothing said"
}
at_the_end() { # of a run whose folder vanishes: all has been said already
  [ "$late" = yes ] && [ "$n" -gt $((total * 3 / 4)) ]
}
"$ddg" run program.ddg --no-store >out 2>said || fail "ddg: $(cat said)"
mv result.npy undisturbed.npy

after() { after_death "$@"; }
moments $ddg_kills FAULT_KILL=N killed
[ $died != 0 ] || fail "ddg: no run was killed"
good "ddg: $died kills over $total calls, then completed"
may_repair=yes repaired=0
moments $ddg_cuts FAULT_CRASH=N "power cut"
[ $died != 0 ] || fail "ddg: no run lost power"
good "ddg: $died power cuts over $total calls ($repaired repaired), then completed"
after() { after_error "$@"; }
late=no
for error in ENOSPC EDQUOT EIO EROFS EACCES EIO:one ENOSPC:short; do
  may_repair=no
  case $error in EIO*) may_repair=yes ;; esac
  moments $ddg_errors "FAULT_FAIL=N:$error" "$error"
done
good "ddg: failing disks"
late=yes
moments $ddg_errors FAULT_VANISH=N "vanished folder"
good "ddg: vanishing folders"

# ---- what is no store of ours ----
goes_without() { # what it is, words: the run goes on, after one warning
  "$ddg" run program.ddg --store s >out 2>said || fail "ddg, $1: exit code, or: $(cat said)"
  right "$1"
  grep -q "^warning.*$2" said || fail "ddg, $1: does not say '$2': $(cat said)"
}
made() { # statements ...: a store with values, changed by them
  rm -rf s
  "$ddg" run program.ddg --store s >out 2>said || fail "ddg: $(cat said)"
  for text in "$@"; do
    "$driver" sql s "$text" 2>said || fail "sql $text: $(cat said)"
  done
}
for version in 7 900; do # both places say it: the last byte of application_id too
  made "PRAGMA user_version=$version" "PRAGMA application_id=$((0x64646700 + version % 256))"
  cp -r s before
  goes_without "version $version" "made by another version"
  diff -r before s >/dev/null || fail "a store of version $version was touched"
  rm -rf before
done
made "PRAGMA application_id=1" "PRAGMA user_version=1"
goes_without "another program's database" "belongs to another program"
rm -rf s && mkdir s && echo mine >s/notes.txt
goes_without "a folder of somebody" "notes.txt"
[ "$(ls s)" = notes.txt ] || fail "wrote into a folder that is no store"
rm -rf s && echo mine >s
goes_without "a file" "it is a file"
made && head -c 50000 /dev/urandom >s/store-1.db
goes_without "a database that is not SQLite" "damaged"
# A map of four billion members; an array in arrays without end; a text longer than it is.
for body in dfffffffff "$(printf '91%.0s' $(seq 5000))" dbfffffff061 c1; do
  made "UPDATE record SET body = x'$body'"
  "$ddg" why program.ddg relabel --store s >out 2>said || fail "why, of hostile msgpack: $(cat said)"
  "$ddg" store verify --store s >verified 2>&1
  [ $? = 1 ] && grep -q "1 damaged" verified || fail "hostile msgpack is no damage: $(cat verified)"
  finish "hostile msgpack"
done
rm -f s/locks && mkdir s/locks
finish "no file of locks"
good "ddg: what is no store of ours"

[ $failed = 0 ] && exit 0
echo "$failed failed"
exit 1
