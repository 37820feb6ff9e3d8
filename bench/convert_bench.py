"""Converting a folder of weights to MaxText's form and back, beside copying as many bytes, in turns.

Makes a Hugging Face folder of about `--gb` GB in bfloat16 (layers of DeepSeek-V3's shapes with few experts, random
numbers) in `--folder` (a tmpfs, for the rate of the program and not of a disk), then runs in each round: `to_maxtext`
without compression and with it, `to_huggingface` from the first, and a loop that copies as many bytes on two threads;
with `--maxtext` (the Python of its environment, with torch) also MaxText's own script, which compresses.
Bytes are those read and written; before each the pages that it writes have been in use. Prints one JSON object a round
and the medians.

    python3 bench/convert_bench.py --fathom=build/release/fathom [--gb=3] [--rounds=3] [--maxtext=PYTHON]
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fp8_bench import copy_bytes, use_pages  # noqa: E402

PEER = str(pathlib.Path(__file__).parent / "peers/maxtext_convert.py")
D, EXPERTS, VOCAB = 7168, 8, 16384
ATTENTION = {
    "self_attn.q_a_proj": (1536, D),
    "self_attn.q_b_proj": (24576, 1536),
    "self_attn.kv_a_proj_with_mqa": (576, D),
    "self_attn.kv_b_proj": (32768, 512),
    "self_attn.o_proj": (D, 16384),
}


def mlp(part, width):
    return {f"{part}.gate_proj": (width, D), f"{part}.up_proj": (width, D), f"{part}.down_proj": (D, width)}


DENSE = ATTENTION | mlp("mlp", 18432)
MOE = ATTENTION | {"mlp.gate": (EXPERTS, D)} | mlp("mlp.shared_experts", 2048)
for e in range(EXPERTS):
    MOE |= mlp(f"mlp.experts.{e}", 2048)
NORMS = {"input_layernorm": D, "post_attention_layernorm": D, "self_attn.q_a_layernorm": 1536}
NORMS |= {"self_attn.kv_a_layernorm": 512}


def layer(number):
    """The first is dense, as in the releases."""
    p = f"model.layers.{number}."
    matrices = DENSE if number == 0 else MOE
    out = {f"{p}{name}.weight": ("BF16", list(shape)) for name, shape in matrices.items()}
    out |= {f"{p}{name}.weight": ("BF16", [size]) for name, size in NORMS.items()}
    if number > 0:
        out[p + "mlp.gate.e_score_correction_bias"] = ("F32", [EXPERTS])
    return out


def write_shard(path, tensors, block):
    header, offset = {}, 0
    for name, (dtype, shape) in sorted(tensors.items(), key=lambda t: t[1][0] != "F32"):
        size = math.prod(shape) * (4 if dtype == "F32" else 2)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        while offset > 0:
            offset -= file.write(block[: min(offset, len(block))])


def make_folder(folder, gb):
    os.makedirs(folder)
    # Numbers between 1/256 and 2 of either sign: finite as bfloat16 and in pairs as float32.
    block = bytearray(os.urandom(1 << 24))
    block[1::2] = bytes(0x38 | (b & 0x87) for b in block[1::2])
    block = bytes(block)
    ends = {"model.embed_tokens.weight": ("BF16", [VOCAB, D]), "lm_head.weight": ("BF16", [VOCAB, D])}
    ends["model.norm.weight"] = ("BF16", [D])
    weight_map, layers, size = {}, 0, 0
    shards = [ends]
    while layers < 2 or size < gb * 1e9:
        shards.append(layer(layers))
        layers += 1
        size = sum(math.prod(s) * 2 for shard in shards for _, s in shard.values())
    for i, tensors in enumerate(shards):
        name = f"model-{i + 1:05}-of-{len(shards):06}.safetensors"
        write_shard(os.path.join(folder, name), tensors, block)
        weight_map |= dict.fromkeys(tensors, name)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {}, "weight_map": weight_map}, file)
    release = pathlib.Path(__file__).parents[1] / "tests/data/configs/DeepSeek-V3/config.json"
    config = json.loads(release.read_text())
    config.pop("quantization_config")
    config.update(num_hidden_layers=layers, first_k_dense_replace=1, num_nextn_predict_layers=0, vocab_size=VOCAB)
    config.update(n_routed_experts=EXPERTS, n_group=1, topk_group=1, num_experts_per_tok=4)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    return size


def seconds_of(command):
    line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip().splitlines()[-1]
    return float(line.split(" in ")[1].split(" s")[0]), line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fathom", required=True)
    parser.add_argument("--folder", default="/dev/shm/fathom-convert-bench")
    parser.add_argument("--gb", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--maxtext")
    options = parser.parse_args()
    place = {name: os.path.join(options.folder, name) for name in ("hf", "orbax", "zstd", "back", "copy", "peer")}
    shutil.rmtree(options.folder, ignore_errors=True)
    results = []
    try:
        size = make_folder(place["hf"], options.gb)
        moved, pages = 2 * size, size + 256 * 10**6  # a converter's own memory among them
        there = [options.fathom, "to_maxtext", "model_name=auto", f"--hf_model_path={place['hf']}"]
        back = [options.fathom, "to_huggingface", "model_name=auto", f"load_parameters_path={place['orbax']}/0/items"]
        for _ in range(options.rounds):
            seconds = {}
            use_pages(options.folder, pages)
            seconds["to_maxtext"], line = seconds_of(
                there + [f"base_output_directory={place['orbax']}", "--compression=none"]
            )
            use_pages(options.folder, pages)
            seconds["to_huggingface"], back_line = seconds_of(back + [f"base_output_directory={place['back']}"])
            shutil.rmtree(place["back"])
            use_pages(options.folder, pages)
            seconds["copy"] = copy_bytes(place["hf"], place["copy"], moved)
            shutil.rmtree(place["copy"])
            shutil.rmtree(place["orbax"])
            use_pages(options.folder, pages)
            seconds["zstd"], _ = seconds_of(there + [f"base_output_directory={place['zstd']}"])
            shutil.rmtree(place["zstd"])
            if options.maxtext:
                use_pages(options.folder, pages)
                seconds["maxtext"], peer_line = seconds_of([options.maxtext, PEER, place["hf"], place["peer"]])
                shutil.rmtree(place["peer"])
                print(peer_line, flush=True)
            row = {f"{key}_gb_s": round(moved / value / 1e9, 3) for key, value in seconds.items()}
            row |= {f"{key}_of_copy": round(seconds["copy"] / value, 3) for key, value in seconds.items()}
            results.append(row)
            print(json.dumps(row | {"line": line, "back": back_line}), flush=True)
        print("median", json.dumps({key: statistics.median(r[key] for r in results) for key in results[0]}))
    finally:
        shutil.rmtree(options.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
