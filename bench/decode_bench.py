"""Decoding beside reading as many bytes, in turns.

Makes a Hugging Face folder of DeepSeek-V2-Lite's true shapes with `--layers` layers and random numbers (4.5 billion
parameters with 8 layers, 9 GB in bfloat16) in `--folder`, then runs in each round `fathom decode` for each kind of
weights, and bin/memory_rate_bench. `share` is what decoding reads a second (weights that a token meets, each once), as
a part of what all cores read adding up an array. With `--torch`, a Python with PyTorch and transformers, Hugging Face's
`generate` decodes the same prompt in the same round; with `--llama`, one with llama-cpp-python and gguf, llama.cpp does
(Q8_0 beside int8). `over_torch` is how many times as many tokens a second fathom makes, `same_torch` how many of the
first tokens are the same, and so for llama. Prints one JSON object a round and the medians.

    python3 bench/decode_bench.py build/release [--layers=8] [--weights=bfloat16,float32,int8] [--rounds=3]
        [--torch=PYTHON] [--llama=PYTHON]
"""

import argparse
import json
import os
import re
import shutil
import statistics
import struct
import subprocess

EMB, HEADS, NOPE, ROPE, VALUE, LATENT, VOCAB = 2048, 16, 128, 64, 128, 512, 102400
DENSE, EXPERT, EXPERTS, CHOSEN, SHARED = 10944, 1408, 64, 6, 2
BYTES = {"bfloat16": 2.0, "float32": 4.0, "int8": 1.0 + 4.0 / 128}
GGUF = {"bfloat16": "BF16", "float32": "F32", "int8": "Q8_0"}
PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
PROMPT = ",".join(str(17 * i + 5) for i in range(32))
CONFIG = {
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "bos_token_id": 100000,
    "eos_token_id": 100001, "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": EMB,
    "intermediate_size": DENSE, "kv_lora_rank": LATENT, "max_position_embeddings": 163840,
    "moe_intermediate_size": EXPERT, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": EXPERTS,
    "n_shared_experts": SHARED, "norm_topk_prob": False, "num_attention_heads": HEADS, "num_experts_per_tok": CHOSEN,
    "num_key_value_heads": HEADS, "q_lora_rank": None, "qk_nope_head_dim": NOPE, "qk_rope_head_dim": ROPE,
    "rms_norm_eps": 1e-06, "rope_theta": 10000, "routed_scaling_factor": 1.0, "scoring_func": "softmax",
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
                     "original_max_position_embeddings": 4096, "type": "yarn"},
    "tie_word_embeddings": False, "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16",
    "v_head_dim": VALUE, "vocab_size": VOCAB,
}


def mlp(prefix, width):
    return {f"{prefix}.gate_proj": (width, EMB), f"{prefix}.up_proj": (width, EMB), f"{prefix}.down_proj": (EMB, width)}


def layer_shapes(index):
    """Matrices of a layer as name -> (rows, columns), and its norms as name -> (size,)."""
    shapes = {"input_layernorm": (EMB,), "post_attention_layernorm": (EMB,), "self_attn.kv_a_layernorm": (LATENT,),
              "self_attn.q_proj": (HEADS * (NOPE + ROPE), EMB), "self_attn.kv_a_proj_with_mqa": (LATENT + ROPE, EMB),
              "self_attn.kv_b_proj": (HEADS * (NOPE + VALUE), LATENT), "self_attn.o_proj": (EMB, HEADS * VALUE)}
    if index == 0:
        return shapes | mlp("mlp", DENSE)
    shapes |= mlp("mlp.shared_experts", SHARED * EXPERT) | {"mlp.gate": (EXPERTS, EMB)}
    for expert in range(EXPERTS):
        shapes |= mlp(f"mlp.experts.{expert}", EXPERT)
    return shapes


def elements(shape):
    return shape[0] * (shape[1] if len(shape) == 2 else 1)


def active_weights(layers):
    """Numbers that one token meets; of the embedding it reads one row."""
    count = VOCAB * EMB
    for index in range(layers):
        for name, shape in layer_shapes(index).items():
            count += elements(shape) * (CHOSEN / EXPERTS if ".experts." in name else 1)
    return count


def write_shard(path, shapes, block):
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * elements(shape)
        header[name + ".weight"] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    ones = struct.pack("<H", 0x3F80)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes.values():
            if len(shape) == 1:
                file.write(ones * shape[0])
                continue
            left = 2 * elements(shape)
            start = file.tell() * 7919 % (len(block) // 2) // 2 * 2
            while left > 0:
                left -= file.write(block[start : start + min(left, len(block) - start)])
                start = 0
    return list(header)


def make_folder(folder, layers):
    os.makedirs(folder)
    # Of either sign and magnitude 1/64 to 1/32, each mantissa once in a while.
    block = bytearray(os.urandom(1 << 24))
    block[0::2] = bytes(b & 0x7F for b in block[0::2])
    block[1::2] = bytes(0x3C | b & 0x80 for b in block[1::2])
    weight_map = {}
    for index in range(-1, layers):
        name = f"model-{index + 2:05}-of-{layers + 1:05}.safetensors"
        shapes = {f"model.layers.{index}.{k}": v for k, v in layer_shapes(index).items()}
        if index < 0:
            shapes = {"model.embed_tokens": (VOCAB, EMB), "model.norm": (EMB,), "lm_head": (VOCAB, EMB)}
        weight_map |= dict.fromkeys(write_shard(os.path.join(folder, name), shapes, bytes(block)), name)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {}, "weight_map": weight_map}, file)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(CONFIG | {"num_hidden_layers": layers}, file)


def keys_of(weights):
    if weights == "int8":
        return ["weight_dtype=bfloat16", "dtype=bfloat16", "quantize_weights=int8"]
    return [f"weight_dtype={weights}", f"dtype={weights}"]


def decode(build, folder, weights, tokens):
    """Tokens a second of the steps and of the prompt, seconds to the first token, and the tokens."""
    words = [f"{build}/fathom", "decode", "model_name=auto", f"load_parameters_path={folder}", "--ids", "--ignore_eos",
             f"--prompt_ids={PROMPT}", f"max_target_length={64 + tokens}"]
    done = subprocess.run(words + keys_of(weights), capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    found = re.search(r"first token after ([\d.]+) s.*prefill: .*?, ([\d.]+) tokens/s; decode: .*?, ([\d.]+) tokens/s",
                      done.stderr)
    return {"first_token_s": float(found[1]), "prefill": float(found[2]), "tokens_per_s": float(found[3]),
            "ids": [int(word) for word in done.stdout.strip().split(",")]}


def peer(python, script, source, tokens, *words):
    """What a script of bench/peers prints. Threads that wait without spinning: others may want the cores."""
    command = [python, os.path.join(PEERS, script), source, f"--prompt_ids={PROMPT}", f"--tokens={tokens}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800,
                          env=os.environ | {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"})
    if done.returncode != 0:
        raise SystemExit(done.stderr[-4000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def gguf_file(options, weights):
    return f"{options.folder}.{GGUF[weights]}.gguf"


def make_gguf(options, weights):
    if not (options.keep and os.path.exists(gguf_file(options, weights))):
        subprocess.run([options.llama, os.path.join(PEERS, "gguf_of.py"), options.folder, gguf_file(options, weights),
                        f"--type={GGUF[weights]}"], check=True, timeout=3600)


def peers(options, weights):
    """Name -> what it prints, of those that are there and hold weights so."""
    found = {}
    if options.torch and weights != "int8":
        found["torch"] = peer(options.torch, "hf_generate.py", options.folder, options.tokens, f"--dtype={weights}")
    if options.llama:
        found["llama"] = peer(options.llama, "llama_decode.py", gguf_file(options, weights), options.tokens)
    return found


def same_at_first(ours, theirs):
    return next((i for i, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1]), len(ours))


def measured(options, weights):
    """A row: fathom and each peer, one after the other."""
    rate = memory_rate(options.build)
    row = {"weights": weights, "memory_GB_per_s": rate / 1e9}
    row |= decode(options.build, options.folder, weights, options.tokens)
    ids = row.pop("ids")
    row["read_GB"] = active_weights(options.layers) * BYTES[weights] / 1e9
    row["share"] = row["read_GB"] * 1e9 * row["tokens_per_s"] / rate
    for name, result in peers(options, weights).items():
        row |= {f"{name}_tokens_per_s": result["tokens_per_s"],
                f"over_{name}": row["tokens_per_s"] / result["tokens_per_s"],
                f"same_{name}": same_at_first(ids, result["ids"])}
    return row | {"load": os.getloadavg()[0]}


def memory_rate(build):
    report = subprocess.run([f"{build}/bin/memory_rate_bench", "--benchmark_format=json"], capture_output=True,
                            text=True, check=True, timeout=300)
    return json.loads(report.stdout)["benchmarks"][0]["B/s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--folder", default="/tmp/fathom-decode-bench")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--weights", default="bfloat16")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", help="a Python with torch and transformers")
    parser.add_argument("--llama", help="a Python with llama_cpp and gguf")
    parser.add_argument("--keep", action="store_true", help="leave the folder, and take it where it is")
    options = parser.parse_args()
    if not (options.keep and os.path.isdir(options.folder)):
        make_folder(options.folder, options.layers)
    kinds = options.weights.split(",")
    try:
        rows = {weights: [] for weights in kinds}
        for weights in kinds if options.llama else []:
            make_gguf(options, weights)
        for _ in range(options.rounds):
            for weights in kinds:
                rows[weights].append(measured(options, weights))
                print(json.dumps(rows[weights][-1]), flush=True)
        for weights, found in rows.items():
            medians = {k: round(statistics.median(row[k] for row in found), 3) for k in found[0] if k != "weights"}
            print("median", json.dumps({"weights": weights} | medians))
    finally:
        if not options.keep:
            shutil.rmtree(options.folder)
            for weights in kinds if options.llama else []:
                if os.path.exists(gguf_file(options, weights)):
                    os.remove(gguf_file(options, weights))


if __name__ == "__main__":
    main()
