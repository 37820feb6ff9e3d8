#!/usr/bin/env bash
# Usage: demo_learns.sh FATHOM. The demo's training run must end far below the unigram entropy of its text, which is
# 6.54 nats a token under the bundled tokenizer.
set -euo pipefail
fathom=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$fathom" demo configs/base.yml model_name=deepseek3-mini run_name=demo base_output_directory="$out" \
  dataset_path=tests/data/data/corpus.txt tokenizer_path=tests/data/tokenizer dtype=float32 \
  steps=420 num_epoch=4 per_device_batch_size=8 max_target_length=128 learning_rate=3e-3 warmup_steps_fraction=0.05 \
  --prompt="Return a new" --tokens=40 2>/dev/null | tail -n 2
tail -n 20 "$out/demo/metrics.jsonl" | python3 -c '
import json, sys
losses = [json.loads(line)["learning/lm_loss"] for line in sys.stdin]
mean = sum(losses) / len(losses)
print(f"mean loss of the last {len(losses)} steps: {mean:.3f} (unigram entropy 6.54)")
sys.exit(0 if mean < 5.0 else 1)'
