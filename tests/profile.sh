#!/bin/sh
# `--profile`: the table and the trace of runs and of compiled programs. The numbers are the
# machine's; here it is looked at whether they belong together, and whether the results are the
# bytes that they are without.
# usage: tests/profile.sh DDG
. "$(dirname "$0")/rig.sh"
python=/usr/bin/python3

expect() { expect_command "$@"; }
program=$here/cases/run/infoutil.ddg
set -- -D samples=20 -D ipc=2

# ---- the table, and the bytes ----
expect 0 "" "$ddg" run "$program" "$@" -D to=plain --no-store
says_not "of peak"
expect 0 "" "$ddg" run "$program" "$@" -D to=profiled --no-store --profile
for words in "of peak" "all kernels" "reading rows" "without work" "2 workers\|1 worker" \
  "measured now" "make machine code"; do
  grep -q -- "$words" out || fail "the table does not say '$words': $(cat out)"
done
says "conv 3x32x32, 3x3 > "
says "conv_dw_sqnorm"
says_not "phase  " # that is --time
same plain profiled

# ---- for scripts: what is counted once is counted once ----
expect 0 "" "$ddg" run "$program" "$@" -D to=json --no-store --profile --json --threads 1
cp out json.out
same plain json
if [ -x $python ]; then
  cat >check.py <<'PYTHON'
import json
p = json.load(open("json.out"))["profile"]
rows = {s["name"]: s["computed"] for s in json.load(open("json.out"))["stages"]}
assert p["workers"] == 1
parts = sum(p[k + "_seconds"] for k in ("kernel", "read", "store", "turn", "save", "rest", "taken", "idle"))
assert abs(parts - p["all_seconds"]) < 1e-3 + 0.02 * p["all_seconds"], (parts, p["all_seconds"])
assert abs(sum(k["seconds"] for k in p["kernels"]) - p["kernel_seconds"]) < 1e-6 + 1e-3 * p["kernel_seconds"]
times = [k["seconds"] for k in p["kernels"]]
assert times == sorted(times, reverse=True) and all(t >= 0 for t in times)
same = [(k["function"], k["kernel"], k["how"]) for k in p["kernels"]]
assert len(same) == len(set(same)), "equal kernels are one line"
first = [k for k in p["kernels"] if k["function"] == "gradnorm" or "util" in k["function"]]
assert first, {k["function"] for k in p["kernels"]}
conv = [k for k in p["kernels"] if k["kernel"].startswith("conv ")]
assert conv and all(k["flops"] > 0 and k["bytes"] > 0 and k["calls"] > 0 for k in conv)
PYTHON
  $python check.py || fail "the profile for scripts: $(cat json.out)"
fi

# ---- the trace ----
expect 0 "all kernels" "$ddg" run "$program" "$@" -D to=traced --profile=trace.json --threads 2
same plain traced
expect 0 "" "$ddg" compile "$program" "$@" -o self
expect 0 "all kernels" ./self --to ahead --no-store --profile=ahead.json
same plain ahead
if [ -x $python ]; then
  cat >check.py <<'PYTHON'
import json, sys
KNOWN = {"phase", "chunk", "part", "function", "kernel"}
for name in "trace.json", "ahead.json":
    file = json.load(open(name))
    spans, names = {}, {}
    for e in file["traceEvents"]:
        assert e["ph"] in "XMi" and isinstance(e["pid"], int) and isinstance(e["tid"], int), e
        if e["ph"] == "M":
            assert e["name"] in ("process_name", "thread_name", "thread_sort_index"), e
            if e["name"] == "thread_name": names[e["tid"]] = e["args"]["name"]
        elif e["ph"] == "X":
            assert e["cat"] in KNOWN and e["name"] and e["ts"] >= 0 and e["dur"] >= 0, e
            spans.setdefault(e["tid"], []).append(e)
    assert names[0] == "main" and names[1] == "worker 1", names
    assert set(spans) <= set(names), "every track has a name"
    kinds = {e["cat"] for t in spans.values() for e in t}
    assert kinds == KNOWN, kinds
    for tid, track in spans.items():
        if tid == 0: continue
        # On one track spans lie within one another or apart, to the nanosecond, or viewers
        # leave them out.
        open_ends = []
        whole = [(round(1000 * e["ts"]), round(1000 * e["dur"])) for e in track]
        for began, long in sorted(whole, key=lambda e: (e[0], -e[1])):
            while open_ends and open_ends[-1] <= began: open_ends.pop()
            end = began + long
            assert not open_ends or end <= open_ends[-1], (name, began, long)
            open_ends.append(end)
PYTHON
  $python check.py || fail "the traces"
fi

# ---- a sweep: one trace, a table a point ----
expect 0 "" "$ddg" run "$program" -D samples=20,21 -D ipc=1 -D to=sweep --profile=sweep.json
[ "$(grep -c "^all kernels" out)" = 2 ] || fail "a sweep of two has not two tables: $(cat out)"
if [ -x $python ]; then
  $python -c 'import json; json.load(open("sweep.json"))' || fail "the sweep's trace"
fi

# ---- trainings: their kernels and those of what is done with the network, in one table ----
cat >train.ddg <<END
train = images("$here/data/shapes/train", size = 16)
net = mlp(classes = 10, size = 16, hidden = [16], seed = 1)
student = train(net, train, epochs = 2, batch = 8, rate = 0.05)
save(relabel(student, train), to = "soft.npy")
END
expect 0 "all kernels" "$ddg" run train.ddg --no-store --profile
for words in "^step .* pack " "^step .* matmul " "^update " "^relabel "; do
  grep -q -- "$words" out || fail "the profile of a training lacks '$words': $(cat out)"
done
[ "$(grep -c "^all kernels" out)" = 1 ] || fail "a training has a table of its own: $(cat out)"

# ---- all of it in the store ----
expect 0 "" "$ddg" run "$program" "$@" -D to=again --profile
same plain again

# ---- wrong ----
expect 1 "the trace \`no/such/folder\` cannot be written" \
  "$ddg" run "$program" "$@" -D to=never --no-store --profile=no/such/folder
[ ! -e never ] || fail "something was computed before the trace was tried"
expect 2 "--profile wants a file" "$ddg" run "$program" --profile=
expect 2 "stands behind \`=\`" "$ddg" run "$program" --profile trace.json
expect 2 "takes no --profile" "$ddg" plan "$program" --profile
expect 0 "--profile[=FILE]" "$ddg" run --help
expect 0 "--profile[=FILE]" ./self --help
if [ -e /dev/full ]; then
  expect 0 "/dev/full\` cannot be written" \
    "$ddg" run "$program" "$@" -D to=full --profile=/dev/full
  same plain full
fi

[ $failed = 0 ] && echo "profile: ok"
exit $((failed > 0))
