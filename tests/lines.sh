#!/bin/sh
# That no line of C is longer than 90 columns. clang-format sees to code, but leaves comments.
cd "$(dirname "$0")/.." || exit 1
find bench cli codegen frontend include ir passes runtime tests -name '*.[ch]' -exec awk '
length($0) > 90 { print FILENAME ":" FNR ": " length($0) " columns"; long++ }
END { exit long > 0 }' {} +
