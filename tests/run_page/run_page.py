"""Runs every block of commands of docs/run_deepseek.md, as a reader would type it, on small models.

Usage: run_page.py FATHOM CACHE [--long] [WORD ...]. CACHE: a folder for compiled programs. With WORDs only the entries
that they name are run; with --long what is left out for its time. Exit 1 when something is wrong, which is said.

The table below has an entry for each block: what of its text is replaced by what, and what must be there when it has
run. A block without an entry fails, an entry without a block too, and so does a replacement whose text the page no
longer has. What the page says of real models is looked at as well: each command that trains is staged for its machine
as it stands (`train_compile --no_compile`), by all its own words.
"""
import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/run_deepseek.md"
DATA = ROOT / "tests/data"
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 900  # seconds

# What the names of the Hub stand for here: folders of its cache.
HUB = {
    "models--deepseek-ai--DeepSeek-V2-Lite": "deepseek_v2/hf",
    "models--deepseek-ai--DeepSeek-V3": "deepseek_v3/hf",
    "models--deepseek-ai--DeepSeek-V3.2": "deepseek_v32/hf",
    "datasets--HuggingFaceH4--ultrachat_200k": "sft/ultrachat",
    "datasets--cais--mmlu": "mmlu",
}
# Stands in for the Hub's client, which is given the words of the page.
HF = f"""#!/bin/bash
set -eu
[[ $1 == download ]]
case "${{*:2}}" in
  "deepseek-ai/DeepSeek-V3 --local-dir $FP8") cp -r {DATA}/deepseek_v3/hf_fp8 "$FP8" ;;
  *" --repo-type dataset") test -d "$HF_HUB_CACHE/datasets--${{2/\\//--}}" ;;
  *) echo "hf $*: no such download" >&2; exit 1 ;;
esac
"""
# Stands in for a Python with torch: what transformers made of the small model, tests/campaigns/golden_logits.py.
PYTHON = f"""#!/bin/bash
set -eu
[[ $1 == */tools/generate_hf_golden_logits.py ]]
for word; do
  case $word in --output-path=*) head -n 3 {DATA}/deepseek_v2/golden_logits.jsonl >"${{word#*=}}" ;; esac
done
"""


@dataclasses.dataclass
class Entry:
    block: str  # words of the block that no other has
    swaps: dict = dataclasses.field(default_factory=dict)  # what of it is replaced by what
    places: dict = dataclasses.field(default_factory=dict)  # paths of which the same is true, on the pod too
    made: list = dataclasses.field(default_factory=list)  # files below the test's folder that must be there
    says: str = ""  # a pattern that stdout must hold
    after: list = dataclasses.field(default_factory=list)  # entries that make what this one reads
    pod: str = ""  # the command that is staged for v5p-256 as it stands as well
    long: bool = False  # of --long alone


# The machine of the tests.
CPU = "hardware=cpu cpu_device_count=2 jax_cache_dir=$CACHE"
HERE = {"configs/base.yml": f"configs/base.yml {CPU}"}
# By the config.json of the weights that a command reads; random weights need a name.
V3 = {"model_name=deepseek3-671b": "model_name=auto"}
TINY = {"model_name=deepseek3-671b":
        "model_name=deepseek3-mini override_model_config=True base_num_decoder_layers=2"}
V2 = {"model_name=deepseek2-16b": "model_name=auto"}
# The small V3 with an indexer, for all blocks of V3.2: each of its two programs is compiled once.
INDEXER = "use_indexer=True indexer_n_heads=4 indexer_head_dim=16 indexer_topk=8"
V32 = {"model_name=deepseek3.2-671b": f"model_name=auto {INDEXER}"}
NEW_INDEXER = {"model_name=deepseek3.2-671b":
               f"""model_name=auto {INDEXER} load_parameters_path=$V31 init_missing_parameters="['.*indexer.*']" """}
LENGTH = {"max_target_length=1024": "max_target_length=64"}
LONGER = {"max_target_length=4096": "max_target_length=64"}
FSDP = {"ici_fsdp_parallelism=128": "ici_fsdp_parallelism=2"}
EXPERT = {"ici_expert_parallelism=128": "ici_expert_parallelism=2"}
STEP = r"completed step: 4, .*loss: [0-9.]+"

DOWNLOAD, BFLOAT16 = "hf download deepseek-ai/DeepSeek-V3 ", "fathom deepseek_fp8_to_bf16"
SCANNED, UNSCANNED = "export SCANNED_CKPT_PATH", "export UNSCANNED_CKPT_PATH"

TABLE = [
    Entry("./run build",
          swaps={"./run build": "true", "./run setup tpu": "true", "$PWD/build/release": "$(dirname $FATHOM)"},
          says=r"^fathom \d"),
    Entry("export BASE_OUTPUT_DIRECTORY=",
          swaps={"gs://my-bucket/deepseek": "$TEST/out", "gs://my-bucket/text": f"{DATA}/data/corpus.txt",
                 "/data/DeepSeek-V3 ": "$TEST/fp8 ", "/data/DeepSeek-V3-bf16": "$TEST/bf16",
                 "/data/DeepSeek-V3.1": f"{DATA}/deepseek_v3/hf"}),
    Entry("fathom train_compile",
          swaps=TINY | LENGTH | {"compile_topology=v5p-256": "compile_topology=v5p-8",
                                 "ici_fsdp_parallelism=128": "ici_fsdp_parallelism=4"},
          says="^fits: yes"),
    Entry("fathom train_compile", says="^fits: yes", long=True),
    # Weights.
    Entry(DOWNLOAD, made=["fp8/config.json"]),
    Entry(BFLOAT16, made=["bf16/model.safetensors.index.json", "bf16/config.json"], after=[DOWNLOAD]),
    Entry(SCANNED, swaps=HERE | V3, made=["out/scanned/0/items", "out/scanned/0/config.json"], after=[BFLOAT16]),
    Entry(UNSCANNED, swaps=HERE | V3, made=["out/unscanned/0/items"], after=[BFLOAT16]),
    Entry("fathom convert_deepseek_family_ckpt",
          swaps={"--model_size=deepseek3-671b": "--model_size=auto"},
          made=["out/v3/0/items", "out/v3_unscanned/0/items"], after=[BFLOAT16]),
    Entry("fathom to_huggingface", swaps=HERE | V3, made=["out/hf/config.json"], says="0 differences", after=[SCANNED]),
    # Training.
    Entry("run_name=matmul_pre_training", swaps=HERE | TINY | LENGTH | FSDP,
          made=["out/matmul_pre_training/metrics.jsonl"], says=STEP, pod="train"),
    Entry("run_name=megablox_pre_training", swaps=HERE | TINY | LENGTH | FSDP,
          made=["out/megablox_pre_training/metrics.jsonl"], says=STEP, pod="train"),
    Entry("fathom report", made=["out/megablox_pre_training/report.html"], says="5 steps",
          after=["run_name=megablox_pre_training"]),
    Entry("run_name=matmul_fine_tuning", swaps=HERE | V3 | LENGTH | EXPERT,
          made=["out/matmul_fine_tuning/checkpoints/4/items"], says=STEP, after=[SCANNED], pod="train"),
    Entry("run_name=deepseek_mtp_finetuning",
          swaps=HERE | V3 | FSDP | {"max_target_length=2048": "max_target_length=64", "steps=10000": "steps=5"},
          made=["out/deepseek_mtp_finetuning/checkpoints/4/items"],
          says=r"completed step: 4, .*mtp_loss: [0-9.]+", after=[SCANNED], pod="train"),
    Entry("fathom train_sft_deprecated",
          swaps=V3 | EXPERT | {"configs/post_train/sft.yml": f"configs/post_train/sft.yml {CPU}",
                               "max_target_length=1024": "max_target_length=128"},
          made=["out/matmul_supervised_fine_tuning/checkpoints/4/items"], says=STEP, after=[SCANNED],
          pod="train_sft_deprecated"),
    Entry("run_name=indexer_dense_warmup", swaps=HERE | NEW_INDEXER | LONGER | FSDP,
          made=["out/indexer_dense_warmup/metrics.jsonl"],
          says=r"completed step: 4, .*lm_loss: 0.000, .*indexer_loss: [0-9.]+", pod="train"),
    Entry("run_name=indexer_sparse_training", swaps=HERE | NEW_INDEXER | LONGER | FSDP,
          made=["out/indexer_sparse_training/metrics.jsonl"],
          says=r"completed step: 4, .*lm_loss: [1-9].*indexer_loss: [0-9.]+", pod="train"),
    Entry("load_parameters_path=${V31?}",
          swaps=HERE | V32 | LONGER | FSDP | {"steps=15000": "steps=5", "steps=1000 ": "steps=5 "},
          places={"checkpoints/999/": "checkpoints/4/"},
          made=["out/warmup/checkpoints/4/items", "out/sparse/checkpoints/4/items"],
          says=r"lm_loss: 0.000(.|\n)*completed step: 4, .*lm_loss: [1-9]",
          after=["run_name=indexer_dense_warmup", "run_name=indexer_sparse_training"], pod="train"),
    # What weights are good for.
    Entry("fathom decode",
          swaps=HERE | V3 | {"ici_tensor_parallelism=128": "ici_tensor_parallelism=2",
                             "max_target_length=1024": "max_target_length=108"},
          says="^Input `An attention function .*output is ` -> `.+", after=[UNSCANNED], pod="decode"),
    Entry("fathom generate_hf_golden_logits", made=["golden_DeepSeek-V2-Lite.jsonl"]),
    Entry("fathom forward_pass_logit_checker", swaps=HERE | V2 | {"max_target_length=4": "max_target_length=16"},
          says="^PASS$", after=["fathom generate_hf_golden_logits"]),
    Entry("fathom mmlu", swaps=HERE | V2 | {"max_target_length=4096": "max_target_length=1024"},
          made=["scores.jsonl"], says=r"^accuracy: [0-9.]+ \+- [0-9.]+ \([0-9]+ questions\)$"),
]


class Wrong(Exception):
    pass


def match(blocks, table):
    """The text of each entry's block; Wrong for blocks without entry and entries without their one block."""
    texts, seen = [], set()
    for entry in table:
        found = [i for i, block in enumerate(blocks) if entry.block in block]
        if len(found) != 1:
            raise Wrong(f"the entry of '{entry.block}' fits {len(found)} blocks of the page, not one")
        seen.add(found[0])
        texts.append(blocks[found[0]])
    for i, block in enumerate(blocks):
        if i not in seen:
            raise Wrong(f"a block of the page has no entry in the table:\n{block}")
    return texts


def swapped(text, swaps):
    for old, new in swaps.items():
        if old not in text:
            raise Wrong(f"'{old}' is no longer on the page; the table replaces it in:\n{text}")
        text = text.replace(old, new)
    return text


def exports(texts):
    return "".join(line + "\n" for text in texts for line in text.splitlines() if line.startswith("export "))


class Bench:
    """A folder for what the commands write, the Hub's cache, and the programs that stand in for others."""

    def __init__(self, folder, fathom, cache):
        self.folder = folder
        hub = folder / "hub"
        for name, data in HUB.items():
            (hub / name / "snapshots").mkdir(parents=True)
            (hub / name / "snapshots/0").symlink_to(DATA / data)
        for name, text in (("hf", HF), ("python", PYTHON)):
            path = folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        self.environment = os.environ | {
            "HF_HUB_CACHE": str(hub), "PYTHON": str(folder / "bin/python"), "TEST": str(folder), "CACHE": str(cache),
            "FATHOM": str(fathom), "PATH": f"{folder}/bin:{fathom.parent}:{os.environ['PATH']}"}

    def bash(self, text, what):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise Wrong(f"{what} ends with {done.returncode}:\n{text}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def run(self, entry, text):
        """`text`: the block's after its swaps, with what earlier blocks export in front."""
        out = self.bash(text, entry.block)
        for name in entry.made:
            path = self.folder / name
            if not path.exists() or path.is_file() and path.stat().st_size == 0:
                raise Wrong(f"{entry.block}: {name} is not there, or empty")
        if not re.search(entry.says, out, re.MULTILINE):
            raise Wrong(f"{entry.block}: stdout has no {entry.says}:\n{out}")


def staged(entry, text):
    """The block's commands for v5p-256 as they stand, up to the compiler."""
    program = "decode" if entry.pod == "decode" else "train"
    return swapped(text, entry.places | {
        f"fathom {entry.pod} ": f"fathom train_compile compile_topology=v5p-256 program={program} --no_compile "})


def run_entry(bench, entry, front, block):
    """`front`: what earlier blocks export."""
    bench.run(entry, front + swapped(block, entry.swaps | entry.places))
    if entry.pod:
        lines = bench.bash(front + staged(entry, block), f"{entry.block}, for its own machine")
        if "state: " not in lines:
            raise Wrong(f"{entry.block}: not staged for v5p-256:\n{lines}")


def run_all(bench, jobs):
    """Two blocks at a time, in the page's order; those that read what others make wait for them. `jobs`: the arguments
    of run_entry. Returns what is wrong."""
    done = {entry.block: threading.Event() for entry, _, _ in jobs}
    wrong = []

    def one(entry, front, block):
        try:
            for name in entry.after:
                done[name].wait()
            began = time.monotonic()
            run_entry(bench, entry, front, block)
            if os.environ.get("RUN_PAGE_TIMES"):
                print(f"{time.monotonic() - began:5.1f} s  {entry.block}", flush=True)
        except Exception as e:  # of any kind: the others go on
            wrong.append(str(e))
        finally:
            done[entry.block].set()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for job in jobs:
            pool.submit(one, *job)
    return wrong


def chosen(args):
    """The entries to run: those named and what they read, in the table's order."""
    names = {e.block for e in TABLE if not args.words or any(w in e.block for w in args.words)}
    for entry in reversed(TABLE):
        if entry.block in names:
            names.update(entry.after)
    return [i for i, entry in enumerate(TABLE) if entry.block in names and entry.long == args.long]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("fathom", type=pathlib.Path)
    parser.add_argument("cache", type=pathlib.Path)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--long", action="store_true")
    args = parser.parse_args()
    try:
        blocks = match(BLOCK.findall(PAGE.read_text()), TABLE)
        texts = [swapped(block, entry.swaps | entry.places) for entry, block in zip(TABLE, blocks)]
    except Wrong as e:
        print(e)
        return 1
    jobs = [(TABLE[i], exports(texts[:i]), blocks[i]) for i in chosen(args)]
    args.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wrong = run_all(Bench(pathlib.Path(folder), args.fathom.resolve(), args.cache.resolve()), jobs)
    print("\n\n".join(wrong + [f"{len(jobs) - len(wrong)} of {len(jobs)} blocks passed"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
