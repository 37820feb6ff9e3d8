"""Golden logits that generate_hf_golden_logits writes are those of the fixtures, and the checker passes on them.

python3 tests/campaigns/golden_logits.py FATHOM

Needs the environment peers-env/torch (`./run setup peers`; $PEERS_ENV names another place of peers-env, $PYTHON another
Python that has torch and transformers). For V2 and V3 of tests/data the command writes the logits of the prompts that
its golden file has: tokens must be the same, logits within 5e-5. Then forward_pass_logit_checker must pass on them.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("PYTHON", pathlib.Path(os.environ.get("PEERS_ENV", ROOT / "peers-env")) / "torch/bin/python")
MODELS = ("deepseek_v2", "deepseek_v3")
TOLERANCE = 5e-5


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def largest_difference(made, golden):
    return max(abs(a - b) for m, g in zip(made, golden, strict=True)
               for row, want in zip(m["logits"], g["logits"], strict=True) for a, b in zip(row, want, strict=True))


def compare(fathom, name, out):
    model = ROOT / "tests/data" / name
    golden = lines(model / "golden_logits.jsonl")
    prompts = [g["prompt"] for g in golden]
    assert not any(";" in p for p in prompts), prompts
    made = out / f"{name}.jsonl"
    said = subprocess.run([fathom, "generate_hf_golden_logits", f"--model-id={model / 'hf'}", f"--output-path={made}",
                           f"--prompts={';'.join(prompts)}"],
                          env=os.environ | {"PYTHON": str(PYTHON)}, check=True, capture_output=True, text=True).stdout
    assert said.splitlines()[-1] == f"File is stored locally at {made}", said
    records = lines(made)
    assert [(r["prompt"], r["tokens"]) for r in records] == [(g["prompt"], g["tokens"]) for g in golden], name
    difference = largest_difference(records, golden)
    assert difference <= TOLERANCE, (name, difference)
    check = subprocess.run([fathom, "forward_pass_logit_checker", "model_name=auto", f"load_parameters_path={model / 'hf'}",
                            "max_target_length=64", "dtype=float32", "matmul_precision=highest", "--max_kl_div=2e-4",
                            f"--atol={TOLERANCE}", f"--golden_logits_path={made}"], capture_output=True, text=True)
    assert check.returncode == 0 and check.stdout.endswith("\nPASS\n"), check.stdout + check.stderr
    print(f"{name}: {len(golden)} prompts, largest difference {difference:.2g}; the checker passes")


def main(fathom):
    with tempfile.TemporaryDirectory() as out:
        for name in MODELS:
            compare(fathom, name, pathlib.Path(out))


if __name__ == "__main__":
    main(sys.argv[1])
