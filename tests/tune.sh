#!/bin/sh
# `--tune`: what is said of it, that its results are kept, found again and the same bytes from
# `run` and from compiled programs, and that what runs without it is as ever. What is fastest is
# the machine's; tests/unit/test_tune.c has a clock made of data.
# usage: tests/tune.sh DDG
. "$(dirname "$0")/rig.sh"

expect() { expect_command "$@"; }
program=$here/cases/run/small.ddg

# ---- nothing is timed to look ----
expect 0 "kinds of kernel, 0 timed now, 0 in the store" "$ddg" plan "$program" --tune
says "not timed"
[ ! -e store ] || fail "looking made a store"

# ---- timed once, and kept ----
expect 0 "" "$ddg" run "$program" -D to=plain --store untuned
expect 0 "timed now, 0 in the store" "$ddg" run "$program" -D to=tuned --tune --time
says_not " 0 timed now" # 10 may be
says "time kernels"
expect 0 " 0 timed now" "$ddg" run "$program" -D to=again --tune --time
says_not "time kernels"
same tuned again
expect 0 '"timed": "store"' "$ddg" run "$program" -D to=again --tune --json
found_all "a tuned run again"
same tuned again
expect 0 "fastest here" "$ddg" plan "$program" --tune
says_not "not timed"
expect 0 '"usual_seconds"' "$ddg" plan "$program" --tune --json
expect 0 "tuning " "$ddg" store stats
expect 0 "" "$ddg" store verify

# ---- a compiled program: the same bytes, the same store ----
expect 0 " 0 timed now" "$ddg" compile "$program" --tune -o self
expect 0 "" ./self --to self1 --json
found_all "the compiled program"
same tuned self1
expect 0 "" ./self --to self2 --no-store
same tuned self2
expect 2 "one of \`ddg compile\`" ./self --tune

# ---- without it, what was timed counts for nothing ----
expect 0 "" "$ddg" run "$program" -D to=after
same plain after
says_not "kinds of kernel"

# ---- no store, and what is wrong ----
expect 0 "0 in the store" "$ddg" run "$program" -D to=none --tune --no-store
expect 0 "0 in the store" "$ddg" compile "$program" --tune --no-store -o other
expect 0 "point 2 of 2" "$ddg" run "$program" -D k=4,8 -D to=sweep --tune
says " 0 timed now"
expect 2 "takes no --tune" "$ddg" check "$program" --tune
expect 1 "nowhere.ddg" "$ddg" run nowhere.ddg --tune

[ $failed = 0 ] && echo "tune: ok"
exit $failed
