"""A cut of DeepSeek-V3 in files with holes through to_maxtext, within the memory of a small machine.

python3 tests/campaigns/convert_memory.py FATHOM [FOLDER]

The folder has the names and shapes of the release in bfloat16: all outside the layers, one dense layer, two with
experts and the module for multi-token prediction, renumbered 0 to 3, with a config.json that says so: 74 GB that take
no room. The process may have 4 GB of data (ulimit -d) and says itself how much it held at most: it must be below 3 GB.
"""

import json
import math
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

D, HEADS, Q, C, NOPE, ROPE, V = 7168, 128, 1536, 512, 128, 64, 128
VOCAB, MLP, WIDTH, EXPERTS = 129280, 18432, 2048, 256
SHARD_BYTES = 4_300_000_000
LIMIT_KB = 4194304
MOST_GB = 3.0


def layer(number, dense):
    """Names and shapes of one layer."""
    p = f"model.layers.{number}."
    out = {
        p + "input_layernorm.weight": [D],
        p + "post_attention_layernorm.weight": [D],
        p + "self_attn.q_a_proj.weight": [Q, D],
        p + "self_attn.q_a_layernorm.weight": [Q],
        p + "self_attn.q_b_proj.weight": [HEADS * (NOPE + ROPE), Q],
        p + "self_attn.kv_a_proj_with_mqa.weight": [C + ROPE, D],
        p + "self_attn.kv_a_layernorm.weight": [C],
        p + "self_attn.kv_b_proj.weight": [HEADS * (NOPE + V), C],
        p + "self_attn.o_proj.weight": [D, HEADS * V],
    }

    def mlp(prefix, width):
        out[prefix + "gate_proj.weight"] = [width, D]
        out[prefix + "up_proj.weight"] = [width, D]
        out[prefix + "down_proj.weight"] = [D, width]

    if dense:
        mlp(p + "mlp.", MLP)
        return out
    out[p + "mlp.gate.weight"] = [EXPERTS, D]
    out[p + "mlp.gate.e_score_correction_bias"] = [EXPERTS]
    mlp(p + "mlp.shared_experts.", WIDTH)
    for e in range(EXPERTS):
        mlp(f"{p}mlp.experts.{e}.", WIDTH)
    return out


def tensors():
    out = {"model.embed_tokens.weight": [VOCAB, D]}
    for i in range(3):
        out.update(layer(i, i == 0))
    p = "model.layers.3."
    out[p + "embed_tokens.weight"] = [VOCAB, D]
    out[p + "enorm.weight"] = out[p + "hnorm.weight"] = out[p + "shared_head.norm.weight"] = [D]
    out[p + "eh_proj.weight"] = [D, 2 * D]
    out[p + "shared_head.head.weight"] = [VOCAB, D]
    out.update(layer(3, False))
    out["model.norm.weight"] = [D]
    out["lm_head.weight"] = [VOCAB, D]
    return out


def write_folder(folder):
    """Shards of holes, their index and config.json."""
    shards, size = [{}], 0
    for name, shape in tensors().items():
        bytes_each = 4 if name.endswith("bias") else 2
        nbytes = math.prod(shape) * bytes_each
        if size and size + nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = ("F32" if bytes_each == 4 else "BF16", shape, nbytes)
        size += nbytes
    weight_map = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):06}.safetensors"
        header, at = {}, 0
        for name, (dtype, shape, nbytes) in sorted(shard.items(), key=lambda t: t[1][0] != "F32"):
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + nbytes]}
            at += nbytes
            weight_map[name] = file
        text = json.dumps(header).encode()
        text += b" " * (-(len(text) + 8) % 64)
        with open(folder / file, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            out.truncate(8 + len(text) + at)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    config = json.loads((pathlib.Path(__file__).parents[1] / "data/configs/DeepSeek-V3/config.json").read_text())
    config.update(num_hidden_layers=3, first_k_dense_replace=1, num_nextn_predict_layers=1)
    config.pop("quantization_config")
    (folder / "config.json").write_text(json.dumps(config))


def main():
    fathom = pathlib.Path(sys.argv[1]).resolve()
    work = pathlib.Path(tempfile.mkdtemp(dir=sys.argv[2] if len(sys.argv) > 2 else None))
    try:
        (work / "hf").mkdir()
        write_folder(work / "hf")
        command = [fathom, "to_maxtext", "model_name=auto", f"base_output_directory={work}/out",
                   f"--hf_model_path={work}/hf", "--save_dtype=bfloat16", "scan_layers=true"]
        done = subprocess.run(["bash", "-c", f'ulimit -d {LIMIT_KB}; exec "$@"', "-", *command], stdout=subprocess.PIPE,
                              text=True, timeout=3000, check=True)
        line = done.stdout.strip().splitlines()[-1]
        print(line)
        peak = float(re.search(r"peak memory ([0-9.]+) GB", line).group(1))
        if peak >= MOST_GB:
            sys.exit(f"the process held {peak} GB, {MOST_GB} are the most")
        inspected = subprocess.run([fathom, "inspect", work / "out/0/items", "--json"], capture_output=True, text=True,
                                   timeout=300, check=True)
        stored = json.loads(inspected.stdout)
        print(f"{len(stored['tensors'])} arrays")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
