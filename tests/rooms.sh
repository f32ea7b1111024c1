#!/bin/sh
# Checks who includes whom (docs/architecture.md), and that only codegen names LLVM.
set -u
cd "$(dirname "$0")/.."
bad=0
allow() { # room, pattern of the rooms it may include
  found=$(grep -nE '^#include "[a-z]+/' -r "$1" --include='*.c' --include='*.h' |
    grep -vE "#include \"($2)[/.]")
  if [ -n "$found" ]; then
    echo "$1 may include only $2:"
    echo "$found"
    bad=1
  fi
}
allow runtime/base 'runtime/base'
allow runtime/store 'runtime/(base|store|outfile)'
allow runtime 'runtime'
allow ir 'ir|runtime'
allow frontend 'frontend|ir|runtime'
allow passes 'passes|ir|runtime'
allow codegen 'codegen|ir|runtime'
allow cli/base 'cli/base|runtime'
allow cli/exe 'cli/base|cli/exe|runtime'
# libddg_rt has no compiler: only compile.c knows one.
if grep -lE '^#include "(cli/[a-z_]+\.h|frontend|passes|codegen|ir)' cli/lib/*.[ch] |
  grep -v 'cli/lib/compile.c$'; then
  echo "of cli/lib, only compile.c includes what compiles"
  bad=1
fi
if grep -lE 'LLVM[A-Z]|llvm-c' -r runtime ir frontend passes cli --include='*.c' --include='*.h'; then
  echo "only codegen names LLVM"
  bad=1
fi
exit $bad
