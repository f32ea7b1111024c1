#!/bin/sh
# The libraries as somebody else uses them: installed, moved, found by pkg-config and by
# CMake, shared and static; what they show, and what they need.
# usage: tests/install.sh BUILD-FOLDER [flags of the compiler]
set -u
build=$1
flags=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
  echo "FAIL: $*"
  failed=$((failed + 1))
}
fine() { "$@" >"$work/said" 2>&1 </dev/null || fail "$*: $(cat "$work/said")"; }
same() { diff -r "$1" "$2" >/dev/null || fail "$1 and $2 differ"; }

fine cmake --install "$build" --prefix "$work/first"
mv "$work/first" "$work/prefix" # nothing in it knows where it was
prefix=$work/prefix
lib=$(dirname "$(find "$prefix" -name libddg.so)")
ddg=$prefix/bin/ddg
export LD_LIBRARY_PATH="$lib" PKG_CONFIG_PATH="$lib/pkgconfig" DDG_STORE="$work/store"

# ---- the interface's names and no others ----
sed -n 's/^DDG_API .*[ *]\(ddg_[a-z_]*\)(.*/\1/p' "$prefix/include/ddg.h" | sort >"$work/all"
grep -vE '^ddg_(compile_file|compile_text|write)$' "$work/all" >"$work/rt"
[ "$(wc -l <"$work/all")" -gt 20 ] || fail "the header's functions are not found"
for name in ddg ddg_rt; do
  want=$work/${name#ddg_}
  [ $name = ddg ] && want=$work/all
  nm -D --defined-only "$lib/lib$name.so" | sed -n 's/.* T \([^@]*\).*/\1/p' | sort >"$work/has"
  same "$want" "$work/has"
  nm -g --defined-only "$lib/lib$name.a" | sed -n 's/.* [A-Z] //p' | sort >"$work/has"
  same "$want" "$work/has"
done
[ "$(readlink "$lib/libddg.so")" = libddg.so.0 ] || fail "no soname libddg.so.0"
if ldd "$lib/libddg_rt.so" | grep -qE 'LLVM|blas|protobuf'; then fail "libddg_rt needs a compiler"; fi

# ---- four ways to build ----
# -l:libddg.a is the static one, where both are.
static() { pkg-config --static --cflags --libs "$1" | sed "s/-l$1 /-l:lib$1.a /"; }
cd "$work" || exit 1
mkdir pc out
fine cc $flags "$here/api/distil.c" -o pc/distil $(pkg-config --cflags --libs ddg)
fine cc $flags "$here/api/distil.c" -o pc/distil_static $(static ddg)
static ddg | grep -q gfortran && fail "the static library asks for a Fortran compiler's"
fine cc $flags "$here/api/replay.c" -o pc/replay $(pkg-config --cflags --libs ddg_rt)
fine cc $flags "$here/api/replay.c" -o pc/replay_static $(static ddg_rt)
fine c++ $flags -Wall -Wextra -Wpedantic -Werror "$here/api/plus.cpp" -o pc/plus \
  $(pkg-config --cflags --libs ddg_rt)
fine cmake -G Ninja -S "$here/api" -B cmake -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags"
fine cmake --build cmake

# ---- the same bytes as the command ----
small=$here/cases/run/small.ddg
fine "$ddg" run "$small" -D k=8 -D to=want --no-store
for way in pc cmake; do
  for kind in "" _static; do
    to=out/$way$kind
    fine $way/distil$kind "$small" $to $to.plan
    same want $to
    fine $way/replay$kind $to.plan $to.again
    same want $to.again
    fine $to.plan.exe --to $to.exe
    same want $to.exe
  done
  fine $way/plus
done
for name in distil replay; do
  ldd pc/${name}_static | grep -q libddg && fail "${name}_static is linked with the shared one"
done

# ---- the program in docs/api.md ----
sed -n '/^```c$/,/^```$/p' "$here/../docs/api.md" | grep -v '^```' >example.c
fine cc $flags -Wall -Wextra -Werror example.c -o example $(pkg-config --cflags --libs ddg)
fine ./example "$here/cases/run/infoutil.ddg"
grep -q 'set: 10 images of 10 classes' said || fail "the example: $(cat said)"

[ $failed = 0 ] && echo "installed libraries are as expected"
[ $failed = 0 ]
