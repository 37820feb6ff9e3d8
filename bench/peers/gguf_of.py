"""A Hugging Face folder of DeepSeek-V2-Lite's kind as a GGUF file that llama.cpp reads, for bench/decode_bench.py.

The file has no vocabulary. Norms and the router stay float32, as llama.cpp has them; the rest is of `--type`.

    python gguf_of.py FOLDER FILE.gguf --type=BF16
"""

import argparse
import json
import os

import gguf
import numpy as np

KINDS = gguf.GGMLQuantizationType


def read_folder(folder):
    """Name -> array that lies in the file; numbers of bfloat16 as their bits."""
    arrays = {}
    for name in sorted(f for f in os.listdir(folder) if f.endswith(".safetensors")):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        for key, value in header.items():
            if key != "__metadata__":
                kind = {"BF16": np.uint16, "F32": np.float32}[value["dtype"]]
                arrays[key] = np.memmap(path, kind, "r", 8 + size + value["data_offsets"][0], tuple(value["shape"]))
    return arrays


def in_type(array, kind):
    if array.dtype == np.uint16:
        if kind == KINDS.BF16:
            return np.ascontiguousarray(array).view(np.uint8)
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return gguf.quants.quantize(np.ascontiguousarray(array), kind)


def tensors_of(config, arrays):
    """llama.cpp's name -> (shape, matrices that lie one behind the other)."""
    experts, heads, nope = config["n_routed_experts"], config["num_attention_heads"], config["qk_nope_head_dim"]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.DEEPSEEK2, config["num_hidden_layers"])
    tensors = {}

    def add(name, parts, *stacked):
        tensors[names.get_name(name, (".weight",))] = ((*stacked, *parts[0].shape), parts)

    for name, array in arrays.items():
        if ".mlp.experts.0." in name:
            parts = [arrays[name.replace("experts.0.", f"experts.{expert}.")] for expert in range(experts)]
            add(name.replace("experts.0.", "experts."), parts, experts)
        elif name.endswith("kv_b_proj.weight"):
            per_head = array.reshape(heads, -1, config["kv_lora_rank"])
            add(name.replace("kv_b_proj", "k_b_proj"), [head[:nope].T for head in per_head], heads)
            add(name.replace("kv_b_proj", "v_b_proj"), [head[nope:] for head in per_head], heads)
        elif ".mlp.experts." not in name:
            add(name, [array])
    return tensors


def write_tensors(writer, tensors, kind):
    kinds = {n: KINDS.F32 if len(shape) == 1 or "ffn_gate_inp" in n else kind for n, (shape, _) in tensors.items()}
    for name, (shape, _) in tensors.items():
        held = gguf.quants.quant_shape_to_byte_shape(shape, kinds[name])
        writer.add_tensor_info(name, held, np.dtype(np.uint8), int(np.prod(held)), kinds[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, (_, parts) in tensors.items():
        writer.write_tensor_data(np.concatenate([in_type(part, kinds[name]).view(np.uint8) for part in parts]))


def add_config(writer, config):
    rope = config["rope_scaling"]
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    # One head of keys for all: the cache holds the latent vector and the rotated part.
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(1)
    writer.add_key_length(config["kv_lora_rank"] + config["qk_rope_head_dim"])
    writer.add_value_length(config["kv_lora_rank"])
    writer.add_key_length_mla(config["qk_nope_head_dim"] + config["qk_rope_head_dim"])
    writer.add_value_length_mla(config["v_head_dim"])
    writer.add_kv_lora_rank(config["kv_lora_rank"])
    # llama.cpp knows the models without this rank by their number of layers, others by 0.
    writer.add_q_lora_rank(0)
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SOFTMAX)
    writer.add_rope_dimension_count(config["qk_rope_head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
    writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    # A tenth, which llama.cpp takes out again for this architecture.
    writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])
    writer.add_tokenizer_model("none")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("file")
    parser.add_argument("--type", default="BF16", choices=["BF16", "F32", "Q8_0"])
    options = parser.parse_args()
    with open(os.path.join(options.folder, "config.json")) as file:
        config = json.load(file)
    writer = gguf.GGUFWriter(options.file, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.DEEPSEEK2])
    add_config(writer, config)
    write_tensors(writer, tensors_of(config, read_folder(options.folder)), KINDS[options.type])
    writer.close()


if __name__ == "__main__":
    main()
