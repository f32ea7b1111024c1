#!/bin/sh
# Proves the fault shim before anything is proved with it: a careful program and SQLite with
# synchronous=FULL lose nothing they said was done, whatever moment the power goes at;
# careless ones are caught. So the shim can find what it is there to find.
# usage: tests/fault/test_shim.sh SHIM PROBE [fast|full]
set -u
shim=$(realpath "$1") probe=$(realpath "$2") how=${3:-fast}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
case $how in
fast) points=40 ;;
full) points=1000 ;;
*) echo "fast or full, not $how" && exit 2 ;;
esac

fail() {
  echo "FAIL: $*"
  failed=$((failed + 1))
}
faulty() { # settings ... -- command: runs it in a fresh folder
  rm -rf d && mkdir d
  env LD_PRELOAD="$shim" FAULT_DIR="$work/d" "$@" >said 2>words
}
last() { tail -n 1 said | grep . || echo 0; }

# Cuts at moments spread over a run; counts those after which something promised is gone.
cuts() { # kind, transactions, care
  faulty FAULT_COUNT="$work/count" "$probe" "$1" d "$2" "$3" ||
    fail "$1 $3 does not run: $(cat words)"
  calls=$(cat count)
  broken=0 i=0
  while [ $i -lt $points ]; do
    faulty FAULT_CRASH=$((1 + i * calls / points)) FAULT_SEED=$i "$probe" "$1" d "$2" "$3"
    [ $? = 137 ] || fail "$1 $3 was not killed: $(cat words)"
    [ -z "$(ls -d d.lost* 2>/dev/null)" ] || fail "removed files are left behind"
    "$probe" "$1-check" d "$(last)" 2>words || broken=$((broken + 1))
    i=$((i + 1))
  done
}
keeps() {
  cuts "$@"
  if [ $broken = 0 ]; then echo "ok: $1 $3: $points power cuts over $calls calls lose nothing"
  else fail "$1 $3: $broken of $points power cuts lost something"; fi
}
loses() {
  cuts "$@"
  if [ $broken != 0 ]; then echo "ok: $1 $3: $broken of $points power cuts are noticed"
  else fail "$1 $3: $points power cuts, and nothing is ever lost"; fi
}

keeps files 12 full
loses files 12 nofile
loses files 12 nofolder
loses files 12 none
keeps sqlite 25 FULL
loses sqlite 25 OFF

# A killed process loses nothing that it has written, synced or not.
faulty FAULT_KILL=30 "$probe" files d 12 none
[ $? = 137 ] || fail "was not killed"
n=$(last)
"$probe" files-check d "$n" || fail "a kill lost writes"
[ "$n" -gt 3 ] || fail "killed too early: $n"
echo "ok: killed after $n files, all there"

# Failing calls: the error that was asked for, once or for good; writes cut short.
faulty FAULT_FAIL=9:ENOSPC "$probe" files d 12 full && fail "a full disk goes unnoticed"
grep -q "No space left" words || fail "not the error that was asked for: $(cat words)"
faulty FAULT_FAIL=0:EIO FAULT_COUNT="$work/count" "$probe" files d 12 full ||
  fail "fails without being told to"
[ "$(cat count)" -gt 60 ] || fail "counts only $(cat count) calls"
faulty FAULT_FAIL=9:EIO "$probe" files d 12 full && fail "EIO goes unnoticed"
faulty FAULT_FAIL=2:EROFS "$probe" files d 12 full && fail "a read-only disk goes unnoticed"
grep -q "Read-only" words || fail "not the error that was asked for: $(cat words)"
faulty FAULT_FAIL=7:ENOSPC:half "$probe" files d 12 full ||
  fail "a short write fails: $(cat words)"
"$probe" files-check d 12 || fail "a short write lost something"
faulty FAULT_FAIL=7:ENOSPC:short "$probe" files d 12 full && fail "short, then full: unnoticed"
faulty FAULT_VANISH=20 "$probe" files d 12 full && fail "a vanished folder goes unnoticed"
[ ! -e d ] || fail "the folder did not vanish"
faulty FAULT_FAIL=9:ENOSPC:one "$probe" sqlite d 25 FULL && fail "SQLite: full disk unnoticed"
"$probe" sqlite-check d "$(last)" || fail "SQLite lost something on a full disk"
echo "ok: failing, short and vanishing calls are as asked for"
exit $((failed != 0))
