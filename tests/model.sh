#!/bin/sh
# ddg model: what it says of each network in tests/cases/model, beside it in NAME.out; what it
# gives to scripts; files that are no networks. Work and memory of ops follow from how they
# are compiled, and are left out of what is compared.
# usage: tests/model.sh DDG [update]
update=${2:-}
. "$(dirname "$0")/rig.sh"
cases="$here/cases/model"

expect() { expect_command "$@"; }
says() { grep -qE -- "$1" said || fail "does not say '$1' either: $(head -c 2000 said)"; }
hides() { if grep -qF -- "$1" said; then fail "says '$1'"; fi; }

# ---- each network ----
number='[0-9.]+ [kMGT]?FLOP'
size='[0-9.]+ [KMGT]?i?B'
masked() {
  sed -E "s/^(  [a-z_]+) +$number +$size/\1 works/; s/^(  forward) .*/\1 works/; s/ +\$//"
}

for model in "$cases"/*.onnx; do
  name=$(basename "$model" .onnx)
  (cd "$cases" && "$ddg" model "$name.onnx" 2>&1 && echo "exit code 0" ||
    echo "exit code $?") | masked >got
  [ "$update" = update ] && cp got "$cases/$name.out"
  diff -u "$cases/$name.out" got >diff.txt || fail "$name is told of otherwise: $(cat diff.txt)"
done

# ---- other sizes ----
expect 0 "images of 12 x 12" "$ddg" model "$cases/kept.onnx" --size 12
says '^  gradnorm +[0-9.]+ kFLOP'
expect 1 "cannot take 12 x 12" "$ddg" model --size=12 "$cases/plain.onnx"
says 'Gemm `/logits/Gemm` expects 256 features'
hides 'images of 12'
expect 2 "--size wants a number from 1 to 4096, not \`0\`" "$ddg" model --size 0 x.onnx
expect 2 "--size wants a number" "$ddg" model --size 12x x.onnx
expect 2 "takes no --target" "$ddg" model --target native x.onnx

# A convolution of 3 x 3 x 3 to 4 channels at 8 x 8 pixels is 13,824 operations; the rest of
# this network's is less than a tenth of it.
expect 0 "forward" "$ddg" model "$cases/folded.onnx"
says '^  forward +14\.[0-9] kFLOP$'

# ---- for scripts ----
expect 0 '"usable": true' "$ddg" model --json "$cases/partly_folded.onnx"
says '"batch_norm": "partly folded"'
says '"op": "shap_patches"'
expect 1 '"usable": false' "$ddg" model --json "$cases/unsupported.onnx"
says '"message": ".*op NonZero is not supported'
expect 1 '"usable": false' "$ddg" model --json nothing.onnx
if command -v python3 >/dev/null; then
  for model in "$cases"/*.onnx nothing.onnx; do
    "$ddg" model --json "$model" 2>/dev/null | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d["usable"] == ("classes" in d), "usable, and no classes"
assert d["usable"] or any(s["severity"] == "error" for s in d["said"]), "no word why not"
' || fail "what is printed for scripts of $model is not right"
  done
fi

# ---- what is no network ----
expect 1 "cannot be read: No such file" "$ddg" model nothing.onnx
expect 1 "Is a directory" "$ddg" model .
printf 'PK\003\004 and a checkpoint' >zip.pt
expect 1 "it looks like a PyTorch checkpoint" "$ddg" model zip.pt
says 'export the network with torch.onnx.export'
printf '\200\002ctorch' >pickle.pt
expect 1 "it looks like a PyTorch checkpoint (a pickle" "$ddg" model pickle.pt
printf '\020\000\000\000\000\000\000\000{"a":{"dtype":"F32"}}' >a.safetensors
expect 1 "weights alone" "$ddg" model a.safetensors
printf '<!DOCTYPE html>' >page.onnx
expect 1 "a page of the web" "$ddg" model page.onnx
printf 'version https://git-lfs.github.com/spec/v1\n' >pointer.onnx
expect 1 'git lfs pull' "$ddg" model pointer.onnx
printf '\034\000\000\000TFL3' >a.tflite
expect 1 "TensorFlow Lite" "$ddg" model a.tflite
printf 'hello' >hello.onnx
expect 1 "is not an ONNX file" "$ddg" model hello.onnx
: >empty.onnx
expect 1 "is empty" "$ddg" model empty.onnx
hides 'written by'
expect 2 'did you mean `ddg model x.onnx`?' "$ddg" x.onnx
cp "$here/cases/run/infoutil.ddg" .
expect 1 '`ddg check` looks at programs' "$ddg" model infoutil.ddg
head -c 2000000 /dev/zero >large.onnx
expect 1 '`ddg model` says what one holds' "$ddg" run large.onnx
# A program is told of the same.
printf 'm = onnx("zip.pt", mean = [0], std = [1])\n' >zip.ddg
expect 1 "it looks like a PyTorch checkpoint" "$ddg" check zip.ddg

[ $failed = 0 ] && echo "model: all is well"
exit $failed
