"""Greedy decoding with llama.cpp (CPU, two threads), for bench/decode_bench.py.

Prints a JSON object: tokens a second of the steps (behind the first token, so neither loading nor the prompt is in
it), and the ids that were made.

    python llama_decode.py FILE.gguf --prompt_ids=1,2,3 --tokens=64
"""

import argparse
import json
import time

import llama_cpp
import numpy as np


def check(code):
    if code != 0:
        raise SystemExit(f"llama_decode answers {code}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--prompt_ids", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    options = parser.parse_args()
    prompt = [int(word) for word in options.prompt_ids.split(",")]

    llama_cpp.llama_backend_init()
    of_model = llama_cpp.llama_model_default_params()
    of_model.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE  # all weights in memory before the first step
    model = llama_cpp.llama_model_load_from_file(options.file.encode(), of_model)
    of_context = llama_cpp.llama_context_default_params()
    of_context.n_ctx = len(prompt) + options.tokens
    of_context.n_threads = of_context.n_threads_batch = 2
    context = model and llama_cpp.llama_init_from_model(model, of_context)
    if not context:
        raise SystemExit(f"llama.cpp does not take {options.file}")
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))

    def following(ids):
        held = (llama_cpp.llama_token * len(ids))(*ids)  # the batch points to it
        check(llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(held, len(ids))))
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, -1), (vocabulary,))
        return int(logits.argmax())

    made = [following(prompt)]
    start = time.perf_counter()
    while len(made) < options.tokens:
        made.append(following(made[-1:]))
    rate = (len(made) - 1) / (time.perf_counter() - start)
    print(json.dumps({"tokens_per_s": rate, "ids": made}))


if __name__ == "__main__":
    main()
