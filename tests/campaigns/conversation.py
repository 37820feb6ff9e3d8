"""From a file of conversations to a chat.

python3 tests/campaigns/conversation.py FATHOM [FOLDER]

The demo's model is trained on the bundled corpus, then fine-tuned on tests/data/sft/sft.jsonl. Asked through
`fathom chat`, it must answer ten of its training questions word for word and end each answer by itself. Prints the
conversation.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

QUESTIONS = 10
CONVERSATIONS = "tests/data/sft/sft.jsonl"
MODEL = ["model_name=deepseek3-mini", "tokenizer_path=tests/data/tokenizer", "dtype=float32"]
ROWS = ["per_device_batch_size=8", "max_target_length=128", "warmup_steps_fraction=0.05"]
PRETRAINING, TUNING = 420, 900


def run(fathom, words, stdin=""):
    done = subprocess.run([fathom, *words], input=stdin, capture_output=True, text=True, timeout=1700)
    if done.returncode != 0:
        raise SystemExit(f"fathom {' '.join(words)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done


def items(output, run_name, steps):
    return f"load_parameters_path={output}/{run_name}/checkpoints/{steps - 1}/items"


def trained(fathom, output):
    """The words that load the tuned model."""
    save = [f"base_output_directory={output}", "enable_checkpointing=true", "checkpoint_period=100000"]
    run(fathom, ["train", "configs/base.yml", *MODEL, *ROWS, *save, "run_name=base", f"steps={PRETRAINING}",
                 "dataset_path=tests/data/data/corpus.txt", "num_epoch=4", "learning_rate=3e-3"])
    run(fathom, ["sft", "configs/post_train/sft.yml", *MODEL, *ROWS, *save, "run_name=tuned", f"steps={TUNING}",
                 items(output, "base", PRETRAINING), f"hf_path={CONVERSATIONS}", "num_epoch=1000",
                 "learning_rate=1.5e-3", "weight_dtype=float32"])
    return items(output, "tuned", TUNING)


def single_turns():
    """The first questions that have one answer, with these."""
    out = {}
    for line in pathlib.Path(CONVERSATIONS).read_text().splitlines():
        messages = json.loads(line)["messages"]
        if len(messages) == 2:
            out.setdefault(messages[0]["content"], messages[1]["content"])
    return list(out.items())[:QUESTIONS]


def main():
    fathom = sys.argv[1]
    with tempfile.TemporaryDirectory() as scratch:
        output = sys.argv[2] if len(sys.argv) > 2 else scratch
        weights = trained(fathom, output)
        wrong = 0
        for question, right in single_turns():
            done = run(fathom, ["chat", *MODEL, weights, "max_target_length=256"], question + "\n")
            answer = done.stdout.removesuffix("\n")
            print(f"> {question}\n{answer}\n", flush=True)
            wrong += answer != right
    print(f"{QUESTIONS - wrong} of {QUESTIONS} answers word for word")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
