#!/bin/sh
# Runs that are killed, stores that are damaged, processes that share one, a store that goes
# away: the result is always that of an undisturbed run without a store.
# usage: tests/survive.sh DDG [fast|full]   (full: 200 kills, thousands of flips; an hour)
set -u
ddg=$1 mode=${2:-fast}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export DDG_STORE="$work/no-such-store"
failed=0
kills=6 flips=8 cuts=4 samples=40
[ "$mode" = full ] && kills=200 flips=2000 cuts=200 samples=200

fail() {
  echo "FAIL: $*"
  failed=$((failed + 1))
}
sed "s/samples = 20/samples = $samples/; s|\"../../data|\"$here/data|" \
  "$here/cases/run/small.ddg" >program.ddg
run() { # options ...; a run that must end well
  "$ddg" run program.ddg -D to=result "$@" >report 2>said </dev/null || {
    fail "ddg run $*: exit code $?: $(cat said)"
    return 1
  }
  diff -r undisturbed result >/dev/null || fail "another result: $*"
  rm -rf result
}
verify() { # folder, what happened
  "$ddg" store verify --store "$1" >verified 2>&1 || fail "store verify after $2: $(cat verified)"
}
stored() { # folder; how many values there are
  "$ddg" store stats --store "$1" --json | sed -n 's/^  "values": \([0-9]*\).*/\1/p'
}
computed() { # rows that the last run computed, of its --json report
  tr -d ' \n' <report | sed 's/"stages":\[[^]]*\]//; s/.*"computed":\([0-9]*\).*/\1/'
}
seed=$$
random() { # below $1
  seed=$(((seed * 1103515245 + 12345) % 2147483648))
  echo $((seed / 65536 % $1))
}

start=$(date +%s%N)
"$ddg" run program.ddg -D to=undisturbed --no-store >report 2>said || fail "$(cat said)"
ms=$((($(date +%s%N) - start) / 1000000))
run --store whole --json
all=$(computed)

# ---- killed at random moments ----
had=0
i=0
while [ $i -lt $kills ]; do
  "$ddg" run program.ddg -D to=result --store killed >/dev/null 2>&1 </dev/null &
  pid=$!
  sleep "$(awk -v r="$(random 1000)" -v ms="$ms" 'BEGIN { print r * ms * 1.2 / 1e6 }')"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  if [ -d killed ]; then
    verify killed "a kill"
    has=$(stored killed)
    [ "$has" -ge "$had" ] || fail "a kill lost values: $had, then $has"
    had=$has
  fi
  [ "$had" = "$all" ] && rm -rf killed && had=0
  i=$((i + 1))
done
rm -rf result
run --store killed --json
[ $((had + $(computed))) = "$all" ] || fail "$had stored and $(computed) computed, not $all in all"
echo "ok: $kills runs killed, then one completed"

# ---- bits flipped, files cut short ----
flip() { # file, byte, bit
  byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
  printf "\\$(printf %03o $((byte ^ (1 << $3))))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
damaged() { # what was done; the store is in `hurt`
  run --store hurt --json || return
  grep -qE 'damaged|cannot be used' said || fail "$1: nobody noticed: $(cat said)"
  verify hurt "a run that found damage"
  run --store hurt --json
  [ "$(computed)" = 0 ] || fail "$1: $(computed) computed again by the second run"
}
files=$(cd whole && find . -type f -size +0 | sort)
i=0
while [ $i -lt $flips ]; do
  for f in $files; do
    rm -rf hurt && cp -r whole hurt
    at=$(($(random 32768) * 32768 + $(random 32768))) bit=$(random 8)
    at=$((at % $(wc -c <"hurt/$f")))
    flip "hurt/$f" $at "$bit"
    damaged "bit $bit of byte $at of $f flipped"
  done
  i=$((i + 1))
done
i=0
while [ $i -lt $cuts ]; do
  for f in $files; do
    rm -rf hurt && cp -r whole hurt
    at=$(($(random 32768) * 32768 + $(random 32768)))
    at=$((at % $(wc -c <"hurt/$f")))
    truncate -s $at "hurt/$f"
    damaged "$f cut to $at bytes"
  done
  i=$((i + 1))
done
echo "ok: $flips flips and $cuts cuts of each of $(echo "$files" | wc -w) files"

# ---- four at once ----
for p in 1 2 3 4; do
  "$ddg" run program.ddg -D to=by$p --store shared --json >report$p 2>said$p </dev/null &
done
wait
sum=0
for p in 1 2 3 4; do
  diff -r undisturbed by$p >/dev/null || fail "process $p of 4: another result: $(cat said$p)"
  mv report$p report
  sum=$((sum + $(computed)))
done
[ $((sum * 10)) -le $((all * 11)) ] || fail "4 processes computed $sum rows, of $all"
verify shared "4 processes"
echo "ok: 4 processes computed $sum rows of $all"

# ---- a process that stands still is not waited for by the dead ----
"$ddg" run program.ddg -D to=result --store stale >/dev/null 2>&1 </dev/null &
pid=$!
sleep "$(awk -v ms="$ms" 'BEGIN { print ms / 2e3 }')"
kill -9 $pid
run --store stale

# ---- the store goes away while it is used ----
"$ddg" run program.ddg -D to=result --store gone >report 2>said </dev/null &
pid=$!
while [ ! -e gone/store-1.db ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
sleep "$(awk -v ms="$ms" 'BEGIN { print ms / 4e3 }')"
rm -rf gone
wait $pid || fail "a run whose store was removed: $(cat said)"
diff -r undisturbed result >/dev/null || fail "another result when the store was removed"
[ "$(grep -c 'warning' said)" = 1 ] || fail "a removed store is not said once: $(cat said)"
echo "ok: the store removed while it was used"

[ $failed = 0 ] && exit 0
echo "$failed failed"
exit 1
