"""MaxText 0.2.5 trains from folders that our converters wrote, with our first losses.

python3 tests/campaigns/maxtext_converted.py FATHOM

Needs the environment peers-env/maxtext (`./run setup peers`; $PEERS_ENV names another place of peers-env). The small V2
and V3 of tests/data are converted, scanned and not. From each folder MaxText trains a step on its synthetic batch;
fathom trains a step on the same tokens from the Hugging Face folder and from the converted one. The three losses must
be the same within rounding.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from maxtext_resumes import PEER, ROOT, peer_run, records, words

ROUNDING = 2e-6
ROWS, LENGTH = 4, 64
CONVERTERS = {True: "convert_deepseek_family_ckpt", False: "convert_deepseek_family_unscanned_ckpt"}
MODEL_KEYS = """base_emb_dim base_mlp_dim base_moe_mlp_dim base_num_decoder_layers base_num_kv_heads
base_num_query_heads beta_fast beta_slow first_num_dense_layers kv_lora_rank max_position_embeddings mscale
n_routing_groups norm_topk_prob num_experts num_experts_per_tok original_max_position_embeddings q_lora_rank
qk_nope_head_dim qk_rope_head_dim rope_factor rope_max_timescale routed_bias routed_scaling_factor routed_score_func
shared_experts topk_routing_group v_head_dim vocab_size""".split()
RUN = {"dtype": "float32", "weight_dtype": "float32", "attention": "dot_product", "sparse_matmul": False,
       "megablox": False, "max_target_length": LENGTH, "per_device_batch_size": ROWS, "steps": 1}


def synthetic_tokens(vocabulary):
    """The rows of MaxText's synthetic batch."""
    code = ("import jax, json; jax.config.update('jax_default_prng_impl', 'unsafe_rbg'); "  # as MaxText sets it
            "print(json.dumps(jax.random.randint(jax.random.PRNGKey(0), "
            f"({ROWS}, {LENGTH} + 1), 0, {vocabulary}).tolist()))")
    return json.loads(subprocess.run([PEER, "-c", code], check=True, capture_output=True, text=True).stdout)


def model_keys(run):
    """The model's keys as the resolved configuration of our run has them, under MaxText's names."""
    lines = dict(line.split(": ", 1) for line in (run / "config.yml").read_text().splitlines())
    keys = {key: lines[key] for key in MODEL_KEYS}
    no_groups = {key: -1 for key in ("n_routing_groups", "topk_routing_group") if keys[key] == "0"}
    return keys | no_groups


def ours(fathom, home, name, weights, scan, rows):
    """Trains a step; the run's folder."""
    subprocess.run([fathom, "train", "configs/base.yml", *words(RUN), "model_name=auto", f"scan_layers={scan}",
                    "dataset_type=files", f"dataset_path={rows}", "tokenize_train_data=False", "packing=False",
                    "enable_data_shuffling=False", "enable_checkpointing=False", "hardware=cpu", f"run_name={name}",
                    f"load_parameters_path={weights}", "tokenizer_path=tests/data/tokenizer",
                    "matmul_precision=highest", f"base_output_directory={home}"],
                   check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return home / name


def first_loss(run):
    return records(run / "metrics.jsonl")[0]["learning/loss"]


def check(fathom, home, model, scan):
    """Faults of one folder."""
    hf = ROOT / "tests/data" / model / "hf"
    case = f"{model}_{'scanned' if scan else 'unscanned'}"
    converted = home / case
    subprocess.run([fathom, CONVERTERS[scan], f"--base_model_path={hf}", f"--maxtext_model_path={converted}",
                    "--model_size=auto", "--save_dtype=float32"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    weights = converted / "0/items"
    vocabulary = json.loads((hf / "config.json").read_text())["vocab_size"]
    rows = home / f"{case}.jsonl"
    rows.write_text("".join(json.dumps({"tokens": row}) + "\n" for row in synthetic_tokens(vocabulary)))
    direct = ours(fathom, home, f"{case}_hf", hf, scan, rows)
    losses = {"ours from Hugging Face": first_loss(direct),
              "ours from the converted folder": first_loss(ours(fathom, home, f"{case}_ours", weights, scan, rows))}
    keys = RUN | model_keys(direct) | {
        "model_name": "deepseek3-671b" if model == "deepseek_v3" else "deepseek2-16b", "override_model_config": True,
        "scan_layers": scan, "load_parameters_path": weights, "dataset_type": "synthetic",
        "enable_checkpointing": True}
    metrics, said = peer_run(home, f"{case}_theirs", keys)
    if not metrics:
        return [f"{case}: MaxText did not train:\n{said}"]
    losses["MaxText"] = metrics[0]["learning/loss"]
    print(case, losses, flush=True)
    expected = losses["ours from Hugging Face"]
    return [f"{case}: {who}: {loss} instead of {expected}" for who, loss in losses.items()
            if abs(loss - expected) > ROUNDING * expected]


def main():
    fathom = pathlib.Path(sys.argv[1]).resolve()
    if not PEER.exists():
        sys.exit(f"{PEER} is not there: ./run setup peers makes it")
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for model in ("deepseek_v2", "deepseek_v3"):
            for scan in (True, False):
                wrong += check(fathom, pathlib.Path(folder), model, scan)
    print("\n".join(wrong) or "MaxText trains from our converted folders with our losses")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
