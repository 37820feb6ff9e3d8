"""Every command of MaxText's DeepSeek page, compiled ahead of time for the machines that it was made for.

python3 tests/campaigns/pod_table.py FATHOM [ROW ...]

Prints a table of bytes on a device, seconds and estimates, with MaxText's figures beside (bench/peers/v5p-256.md; where
`./run setup peers` has installed it, measured again in the same run). Temporary memory may be a given part of MaxText's
at most, and each row fits the device or does not, as it should. The rows for GPUs need the plugin of
`./run setup cuda`, no GPU; without it they are named and left out.
"""
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEER_FIGURES = ROOT / "bench/peers/v5p-256.md"
PEER = pathlib.Path(os.environ.get("PEERS_ENV", ROOT / "peers-env")) / "maxtext/bin/python"
CUDA = list(ROOT.glob(".venv/lib/python*/site-packages/jax_plugins/xla_cuda*"))
SECONDS = 3600  # for one program
AIM = 0.62  # of MaxText's temporary memory

BFLOAT16 = ["dtype=bfloat16", "weight_dtype=bfloat16"]
POD = ["compile_topology=v5p-256", "compile_topology_num_slices=1"]
V3 = ["model_name=deepseek3-671b", "attention=flash", "per_device_batch_size=1"]
V32 = ["model_name=deepseek3.2-671b", "attention=flash", "per_device_batch_size=1", "max_target_length=4096",
       "ici_fsdp_parallelism=128", "sparse_matmul=True", "megablox=True", "indexer_loss_scaling_factor=0.01"]
DENSE = ["sparse_matmul=False", "megablox=False"]
DECODE = ["model_name=deepseek3-671b", "attention=dot_product", "per_device_batch_size=1", "scan_layers=False",
          "max_prefill_predict_length=100", "max_target_length=1024", "ici_tensor_parallelism=128",
          "ici_fsdp_parallelism=1", *DENSE, *BFLOAT16, *POD]
GPU_NODES = ["compile_topology=h100-8", "compile_topology_num_slices=256", "max_target_length=1024"]


@dataclass
class Row:
    """One program: its words, the row of MaxText's figures that it is like, and what must hold of it."""
    name: str
    words: list[str]
    peer: str = ""
    most: float = AIM
    fits: bool = True
    peer_words: list[str] = field(default_factory=list)  # what MaxText needs besides


ROWS = [
    Row("pre-train", V3 + ["max_target_length=1024", "ici_fsdp_parallelism=128", *DENSE, *BFLOAT16, *POD],
        "pre-train, dense matmul (the run page's)"),
    Row("pre-train, megablox, batch 4",
        V3 + ["per_device_batch_size=4", "max_target_length=1024", "ici_fsdp_parallelism=128", "sparse_matmul=True",
              "megablox=True", *BFLOAT16, *POD], "pre-train, megablox"),
    Row("fine-tune, expert 128",
        V3 + ["max_target_length=1024", "ici_expert_parallelism=128", "ici_fsdp_parallelism=1", *DENSE, *BFLOAT16,
              *POD], "fine-tune, expert parallel", most=0.795),
    Row("multi-token prediction, bfloat16",
        V3 + ["max_target_length=2048", "ici_fsdp_parallelism=128", "mtp_num_layers=1", *BFLOAT16, *POD],
        "MTP fine-tune"),
    Row("multi-token prediction, float32",
        V3 + ["max_target_length=2048", "ici_fsdp_parallelism=128", "mtp_num_layers=1", *POD], fits=False),
    Row("dense warm-up", V32 + ["indexer_sparse_training=False", "trainable_parameters_mask=['.*indexer.*']",
                                *BFLOAT16, *POD], "DSA warm-up", peer_words=["use_tokamax_splash=True"]),
    Row("sparse stage", V32 + ["indexer_sparse_training=True", *BFLOAT16, *POD], "DSA sparse",
        peer_words=["use_tokamax_splash=True"]),
    Row("initial values", V3 + ["program=init", "max_target_length=1024", "ici_fsdp_parallelism=128", *DENSE,
                                *BFLOAT16, *POD]),
    Row("decode, a step", ["program=decode", *DECODE]),
    Row("decode, prompts", ["program=prefill", *DECODE]),
    Row("deepseek2-16b on h100-8",
        ["model_name=deepseek2-16b", "compile_topology=h100-8", "attention=flash", "per_device_batch_size=1",
         "max_target_length=1024", "ici_fsdp_parallelism=8", "sparse_matmul=True", "megablox=True", *BFLOAT16]),
    # The query's latent has 1,536 numbers, so 512 devices split a state, four times.
    Row("deepseek3-671b on 256 x h100-8, expert 8, fsdp 64, data 4",
        V3 + GPU_NODES + ["ici_expert_parallelism=8", "ici_fsdp_parallelism=1", "dcn_fsdp_parallelism=64",
                          "dcn_data_parallelism=4", "sparse_matmul=True", "megablox=True", *BFLOAT16]),
]


def peer_figures():
    """{row: (bytes of temporary memory, seconds)} of MaxText, as they were measured once."""
    out = {}
    for line in PEER_FIGURES.read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if len(cells) == 6 and cells[3][:1].isdigit():
            out[cells[0]] = (int(cells[3].replace(",", "")), int(cells[5].split()[0]))
    return out


def peer_now(row):
    """The same, measured now."""
    words = [w for w in row.words if not w.startswith("program=")] + row.peer_words
    said = subprocess.run(["bench/peers/maxtext_compile.sh", *words], cwd=ROOT, capture_output=True, text=True,
                          timeout=SECONDS, check=True).stdout
    return (int(re.search(r"temp_size_in_bytes=(\d+)", said)[1]), int(re.search(r"wall seconds: (\d+)", said)[1]))


def compiled(fathom, row):
    """What train_compile answers: {arguments, temp, fits, estimate, seconds}."""
    done = subprocess.run([fathom, "train_compile", "configs/base.yml", "run_name=pod", "dataset_type=synthetic",
                           "enable_checkpointing=false", *row.words], cwd=ROOT, capture_output=True, text=True,
                          timeout=SECONDS)
    if done.returncode != 0:
        raise SystemExit(f"{row.name}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    out = done.stdout
    memory = {name: re.search(rf"{name}_size_in_bytes=(\d+)", out) for name in ("argument", "temp")}
    return {**{name: int(m[1]) if m else None for name, m in memory.items()},
            "fits": re.search(r"fits: (yes|no) \((.*)\)", out),
            "estimate": re.search(r"estimate: (.*)", out), "seconds": re.search(r"seconds: .*total ([\d.]+)", out)}


def size(number):
    return f"{number:,}" if number is not None else ""


def faults(row, got, peer):
    if (got["fits"][1] == "yes") != row.fits:
        yield f"{row.name}: fits: {got['fits'][0]}"
    if peer and got["temp"] > row.most * peer[0]:
        yield f"{row.name}: temporary memory is {got['temp'] / peer[0]:.3f} of MaxText's, more than {row.most}"


def main(fathom, *wanted):
    unknown = set(wanted) - {row.name for row in ROWS}
    if unknown:
        raise SystemExit(f"no row {sorted(unknown)}; the rows: {[row.name for row in ROWS]}")
    recorded = peer_figures()
    wrong = []
    print("| | arguments | temporary | MaxText's | ratio | fits | seconds | MaxText's | estimate |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for row in ROWS:
        if wanted and row.name not in wanted:
            continue
        if not CUDA and "h100" in row.name:
            print(f"| {row.name} | not compiled: `./run setup cuda` |", flush=True)
            continue
        got = compiled(fathom, row)
        peer = None if not row.peer else peer_now(row) if PEER.exists() else recorded[row.peer]
        ratio = f"{got['temp'] / peer[0]:.2f}" if peer else ""
        print(f"| {row.name} | {size(got['argument'])} | {size(got['temp'])} | {size(peer and peer[0])} | {ratio} | "
              f"{got['fits'][1]}, {got['fits'][2]} | {got['seconds'][1]} | {peer[1] if peer else ''} | "
              f"{got['estimate'][1] if got['estimate'] else ''} |", flush=True)
        wrong += faults(row, got, peer)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
