#!/usr/bin/env bash
# Kernels, decoding, loading, writing, tokenizer, and training beside the peers that are installed. `./run bench` builds
# first and calls it; the other programs of bench/ are called by hand. Words after it go to train_bench.py; BUILD names another build folder than build/release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build/release}
echo "# load before: $(cut -d' ' -f1-3 /proc/loadavg); other work on the machine makes every figure below smaller"
echo "# kernels at the sizes of the bench model"
for kernels in kernels attention selected optimizer; do "$build/bin/${kernels}_bench"; done
echo "# decoding beside reading memory, a prompt beside the forward pass"
torch=(); [[ -x peers-env/torch/bin/python ]] && torch=(--torch=peers-env/torch/bin/python)
llama=(); [[ -x peers-env/llama/bin/python ]] && llama=(--llama=peers-env/llama/bin/python)
/usr/bin/python3 bench/decode_bench.py "$build" --weights=bfloat16,int8 "${torch[@]}" "${llama[@]}"
"$build/bin/prefill_bench"
echo "# a Hugging Face folder into arrays"
"$build/bin/load_bench"
echo "# an Orbax folder written, beside copying"
"$build/bin/orbax_write_bench"
echo "# an FP8 folder into one in bfloat16, beside copying"
/usr/bin/python3 bench/fp8_bench.py --fathom="$build/fathom" "${torch[@]}"
echo "# tokenizer"
"$build/bin/tokenizer_bench"
exec /usr/bin/python3 bench/train_bench.py "$build" "$@"
