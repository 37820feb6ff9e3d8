"""Training with quantization=fp8 learns as training in bfloat16 does.

python3 tests/campaigns/fp8_training.py FATHOM

Trains deepseek3-mini for 200 steps on the bundled corpus: in bfloat16 with three seeds of the data's order, and with
quantization=fp8 with the first of them. The mean loss of steps 151 to 200 with fp8 must lie within 0.25 % of that in
bfloat16, or within twice the spread of the three runs in bfloat16 where that is more.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

STEPS = 200
LAST = 50
SEEDS = (0, 1, 2)


def mean_loss(fathom, folder, name, keys):
    subprocess.run([fathom, "train", "configs/base.yml", "model_name=deepseek3-mini", f"run_name={name}",
                    f"base_output_directory={folder}", "dataset_type=files", "dataset_path=tests/data/data/corpus.txt",
                    "tokenizer_path=tests/data/tokenizer", "dtype=bfloat16", f"steps={STEPS}", "num_epoch=4",
                    "per_device_batch_size=8", "max_target_length=128", "learning_rate=3e-3",
                    "warmup_steps_fraction=0.05", "enable_checkpointing=False", *keys],
                   check=True, capture_output=True, text=True)
    records = (pathlib.Path(folder) / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(record)["learning/lm_loss"] for record in records]
    assert len(losses) == STEPS, (name, len(losses))
    mean = sum(losses[-LAST:]) / LAST
    print(f"{name}: mean loss of the last {LAST} steps {mean:.4f}", flush=True)
    return mean


def main(fathom):
    with tempfile.TemporaryDirectory() as folder:
        bfloat16 = [mean_loss(fathom, folder, f"bfloat16_{seed}", [f"data_shuffle_seed={seed}"]) for seed in SEEDS]
        fp8 = mean_loss(fathom, folder, "fp8", [f"data_shuffle_seed={SEEDS[0]}", "quantization=fp8"])
    off = abs(fp8 / bfloat16[0] - 1)
    spread = (max(bfloat16) - min(bfloat16)) / bfloat16[0]
    allowed = max(0.0025, 2 * spread)
    print(f"fp8 beside bfloat16: {100 * off:.2f} %; spread of bfloat16 {100 * spread:.2f} %, allowed {100 * allowed:.2f} %")
    return 0 if off <= allowed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
