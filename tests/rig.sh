# What the tests that are scripts share; they source it, $1 being the ddg to test. Leaves them
# in an empty folder, $work, with a store of its own; $failed counts what was wrong.
set -u
ddg=$1
here=$(cd "$(dirname "$0")" && pwd)
examples=$(cd "$here/../examples" && pwd)
teacher=$here/data/shapes.onnx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export DDG_STORE="$work/store"
failed=0

# A program of tests/cases/run, with paths that hold wherever it is put.
program_of() {
  sed "s|\.\./\.\./data|$here/data|" "$here/cases/run/$1.ddg"
}

fail() {
  echo "FAIL: $*"
  failed=$((failed + 1))
}
# A command that must end with a code and say something; its words are in $work: out, err
# and, both together, said.
expect_command() { # code, text, command ...
  code=$1 text=$2
  shift 2
  "$@" >"$work/out" 2>"$work/err" </dev/null
  got=$?
  cat "$work/out" "$work/err" >"$work/said"
  [ $got = "$code" ] || fail "$*: exit code $got, not $code: $(head -c 2000 "$work/said")"
  [ -z "$text" ] || grep -qF -- "$text" "$work/said" ||
    fail "$*: does not say '$text': $(head -c 2000 "$work/said")"
}
expect_ddg() { # code, text, arguments of ddg ...
  want=$1 words=$2
  shift 2
  expect_command "$want" "$words" "$ddg" "$@"
}
# Of the command before.
says() { grep -qF -- "$1" "$work/said" || fail "does not say '$1' either: $(cat "$work/said")"; }
says_not() { ! grep -qF -- "$1" "$work/said" || fail "says '$1': $(cat "$work/said")"; }
# Its report for scripts: the rows of a value; that nothing was computed.
member() { # name, member, number
  got=$(grep -F -A 6 "\"name\": \"$1\"" "$work/out" | sed -n "s/.*\"$2\": \([0-9]*\).*/\1/p" | head -n 1)
  [ "$got" = "$3" ] || fail "$1: $2 is '$got', not $3"
}
found_all() { grep -q '^  "computed": 0,' "$work/out" || fail "$*: $(cat "$work/out")"; }
same() { diff -r "$1" "$2" >/dev/null || fail "$1 and $2 differ"; }
