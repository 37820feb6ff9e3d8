"""Dequantizing a folder of FP8 weights beside copying as many bytes, in turns.

Makes a model folder of about `--gb` GB of FP8 (shapes of DeepSeek-V3, random codes) in `--folder` (a tmpfs, for the
rate of the program and not of a disk), then runs in each round: `fathom deepseek_fp8_to_bf16`, a loop that copies with
two threads, and, where PyTorch is there, the same work in float32 on two threads: a matrix at a time (`torch`), and a
block at a time (`blocks`), as MaxText's script does it. Bytes are those read and written; the copy moves as many, and
before each the pages that it writes have been in use. Prints one JSON object a round and the medians.

    python3 bench/fp8_bench.py --fathom=build/release/fathom [--torch=PYTHON] [--gb=4] [--experts=24] [--rounds=3]
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import threading
import time

EXPERT = (("gate_proj", (2048, 7168)), ("up_proj", (2048, 7168)), ("down_proj", (7168, 2048)))


def shapes(experts):
    """Names, rows and columns of one layer's share: attention, some experts."""
    attention = [
        ("self_attn.q_b_proj", 24576, 1536),
        ("self_attn.kv_a_proj_with_mqa", 576, 7168),
        ("self_attn.kv_b_proj", 32768, 512),
        ("self_attn.o_proj", 7168, 16384),
    ]
    return attention + [(f"mlp.experts.{e}.{name}", *shape) for e in range(experts) for name, shape in EXPERT]


def write_shard(path, layer, experts, block):
    """One layer as a safetensors file; gives its names and the bytes of FP8."""
    header, offset, parts, fp8 = {}, 0, [], 0
    for name, rows, columns in shapes(experts):
        name = f"model.layers.{layer}.{name}.weight"
        scales = [(rows + 127) // 128, (columns + 127) // 128]
        for key, dtype, shape, size in (
            (name, "F8_E4M3", [rows, columns], rows * columns),
            (name + "_scale_inv", "F32", scales, 4 * scales[0] * scales[1]),
        ):
            header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
            parts.append((dtype, size))
        fp8 += rows * columns
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    scale = struct.pack("<f", 0.00123) * 65536
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for dtype, size in parts:
            source = scale if dtype == "F32" else block
            while size > 0:
                size -= file.write(source[: min(size, len(source))])
    return list(header), fp8


def make_folder(folder, gb, experts):
    os.makedirs(folder)
    # No NaN among the codes.
    block = bytes(b if b & 0x7F != 0x7F else 0 for b in os.urandom(1 << 24))
    layer, fp8, weight_map = 0, 0, {}
    while fp8 < gb * 1e9:
        name = f"model-{layer + 1:05}-of-000099.safetensors"
        names, size = write_shard(os.path.join(folder, name), layer, experts, block)
        weight_map.update(dict.fromkeys(names, name))
        layer, fp8 = layer + 1, fp8 + size
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {}, "weight_map": weight_map}, file)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({"model_type": "deepseek_v3", "quantization_config": {"weight_block_size": [128, 128]}}, file)
    return fp8


def use_pages(folder, count):
    """Writes so many bytes and removes them: a virtual machine is slow to give pages that nobody has used lately."""
    block, path = bytes(1 << 22), os.path.join(folder, "pages")
    with open(path, "wb", buffering=0) as file:
        while count > 0:
            count -= file.write(block[: min(count, len(block))])
    os.remove(path)


def copy_bytes(source, target, moved):
    """Reads and writes `moved` bytes altogether, on two threads, a file each."""
    files = [os.path.join(source, f) for f in sorted(os.listdir(source)) if f.endswith(".safetensors")]
    os.makedirs(target)
    share = moved // 4  # that a thread reads, and writes

    def work(number):
        left = share
        with open(os.path.join(target, str(number)), "wb", buffering=0) as to:
            at = number
            while left > 0:
                with open(files[at % len(files)], "rb", buffering=0) as file:
                    while left > 0:
                        data = file.read(min(left, 1 << 18))
                        if not data:
                            break
                        left -= to.write(data)
                at += 2

    start = time.perf_counter()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


TORCH = """
import json, sys, time, os, torch
from safetensors.torch import load_file, save_file
torch.set_num_threads(2)
source, target, by_block = sys.argv[1], sys.argv[2], sys.argv[3] == "blocks"
os.makedirs(target)
start = time.perf_counter()
for name in sorted(f for f in os.listdir(source) if f.endswith(".safetensors")):
    tensors, out = load_file(os.path.join(source, name)), {}
    for key, codes in tensors.items():
        if key.endswith("_scale_inv"):
            continue
        scale = tensors[key + "_scale_inv"]
        if by_block:
            result = torch.empty(codes.shape, dtype=torch.bfloat16)
            for i in range(scale.shape[0]):
                for j in range(scale.shape[1]):
                    place = slice(128 * i, 128 * i + 128), slice(128 * j, 128 * j + 128)
                    result[place] = (codes[place].to(torch.float32) * scale[i, j]).to(torch.bfloat16)
            out[key] = result
        else:
            scale = scale.repeat_interleave(128, 0)[: codes.shape[0]].repeat_interleave(128, 1)[:, : codes.shape[1]]
            out[key] = (codes.to(torch.float32) * scale).to(torch.bfloat16)
    save_file(out, os.path.join(target, name))
print(time.perf_counter() - start)
"""


def measured(command, target):
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(target)
    return (output.strip().splitlines() or [""])[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fathom", required=True)
    parser.add_argument("--folder", default="/dev/shm/fathom-fp8-bench")
    parser.add_argument("--torch", help="a Python with torch and safetensors")
    parser.add_argument("--peer", help="MaxText's script deepseek_dequantize.py, run by the Python of --torch")
    parser.add_argument("--gb", type=float, default=4)
    parser.add_argument("--experts", type=int, default=24, help="of a file, which has 0.2 GB and 0.044 GB for each")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    source, target = os.path.join(options.folder, "fp8"), os.path.join(options.folder, "out")
    shutil.rmtree(options.folder, ignore_errors=True)
    try:
        fp8 = make_folder(source, options.gb, options.experts)
        moved = 3 * fp8  # a byte read, two written
        results = []
        for _ in range(options.rounds):
            use_pages(options.folder, 2 * fp8)
            line = measured(
                [options.fathom, "deepseek_fp8_to_bf16", f"--input-path={source}", f"--output-path={target}"], target
            )
            seconds = {"fathom": float(line.split(" in ")[1].split(" s")[0])}
            use_pages(options.folder, 2 * fp8)
            seconds["copy"] = copy_bytes(source, target, moved)
            shutil.rmtree(target)
            if options.torch:
                for form in ("torch", "blocks"):
                    seconds[form] = float(measured([options.torch, "-c", TORCH, source, target, form], target))
            if options.peer:
                begun = time.perf_counter()
                measured([options.torch, options.peer, f"--input-path={source}", f"--output-path={target}"], target)
                seconds["peer"] = time.perf_counter() - begun
            row = {f"{key}_gb_s": round(moved / value / 1e9, 3) for key, value in seconds.items()}
            row |= {f"over_{key}": round(value / seconds["fathom"], 3) for key, value in seconds.items() if key != "fathom"}
            results.append(row)
            print(json.dumps(row | {"line": line}), flush=True)
        print("median", json.dumps({key: statistics.median(r[key] for r in results) for key in results[0]}))
    finally:
        shutil.rmtree(options.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
