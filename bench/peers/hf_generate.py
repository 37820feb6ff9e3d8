"""Greedy decoding with Hugging Face's `generate` on PyTorch (CPU, two threads), for bench/decode_bench.py.

Prints a JSON object: tokens a second of the steps (behind the first token, so neither loading nor the prompt is in
it), and the ids that were made.

    python hf_generate.py FOLDER --dtype=bfloat16 --prompt_ids=1,2,3 --tokens=64
"""

import argparse
import json
import time

import torch
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer


class Clock(BaseStreamer):
    """Takes the time at which the prompt, then each token, is handed on."""

    def __init__(self):
        self.times = []

    def put(self, value):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--prompt_ids", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(2)
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=getattr(torch, options.dtype))
    model.eval()
    model.generation_config.eos_token_id = None
    prompt = torch.tensor([[int(word) for word in options.prompt_ids.split(",")]])
    clock = Clock()
    made = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=options.tokens,
                          do_sample=False, streamer=clock)
    steps = clock.times[1:]
    rate = (len(steps) - 1) / (steps[-1] - steps[0])
    print(json.dumps({"tokens_per_s": rate, "ids": made[0, prompt.shape[1]:].tolist()}))


if __name__ == "__main__":
    main()
