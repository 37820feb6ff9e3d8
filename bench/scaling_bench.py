"""How training scales on two cores: tokens per second and XLA's temporary memory of the bench model over the length of a
row, the number of experts (as many chosen) and the rows of a batch, beside Hugging Face transformers in the same run.

Usage: scaling_bench.py BUILD [--steps=N] [--over=length,experts,rows]

The figures are medians over the steps after the first two. `remat_policy=none` like Hugging Face, which keeps everything
for the backward pass too; where that does not fit, every layer is computed twice (said in the line).
"""
import pathlib
import re
import statistics
import sys
import time

import train_bench as bench

USUAL = {"length": 512, "experts": 32, "rows": 4}
SWEEPS = {
    "length": [512, 2048, 8192],
    "experts": [16, 64, 256],
    "rows": [1, 4, 16],
}


def settings(over):
    """One dictionary a line of the sweep. Longer rows come fewer at a time, so that a batch stays at 2,048 tokens or the
    one row that is needed."""
    for value in SWEEPS[over]:
        setting = {**USUAL, over: value}
        if over == "length":
            setting["rows"] = max(1, 4 * 512 // value)
        yield setting


def fathom_keys(setting, remat):
    return ["attention=flash", f"remat_policy={remat}", f"num_experts={setting['experts']}",
            f"max_target_length={setting['length']}", f"per_device_batch_size={setting['rows']}"]


def temporary_bytes(build, keys):
    """XLA's temporary memory of the train step."""
    text = bench.run([build / "fathom", "train_compile", "configs/base.yml", "run_name=bench",
                      "model_name=deepseek3-tiny", "override_model_config=True", *bench.model_keys(), "dtype=float32",
                      "sparse_matmul=True", "log_config=False", *keys])
    return int(re.search(r"temp_size_in_bytes=(\d+)", text)[1])


def fathom(build, steps, setting):
    """(seconds of a step, temporary bytes, remat policy)"""
    for remat in ("none", "full"):
        keys = fathom_keys(setting, remat)
        try:
            seconds, _ = bench.fathom_run(build, steps, keys)
            return statistics.median(seconds[bench.WARM_UP:]), temporary_bytes(build, keys), remat
        except bench.Failed as error:
            if "remat_policy=full" not in str(error):  # what the memory check advises
                raise
    raise bench.Failed(f"{setting} does not fit")


def torch(steps, setting):
    """Seconds of a step of Hugging Face's, or why there is no figure."""
    python = bench.PEERS / "torch/bin/python"
    if not python.exists():
        return "not installed (`./run setup peers`)"
    environment = {name.upper(): str(value) for name, value in setting.items()}
    try:
        text = bench.run([python, "bench/peers/hf_train.py"], bench.PEER_LIMIT, ATT="sdpa", THREADS=str(bench.CORES),
                         STEPS=str(steps), **environment)
    except bench.Failed as error:
        return f"failed: {str(error)[-60:]}"
    seconds = [float(s) for s in re.findall(r"^step \d+: ([\d.]+) s", text, re.MULTILINE)]
    return statistics.median(seconds[bench.WARM_UP:]) if len(seconds) > bench.WARM_UP else "too slow"


def main(args):
    build = pathlib.Path(args.pop(0)).absolute()
    options = dict(arg.removeprefix("--").split("=", 1) for arg in args)
    steps = int(options.get("steps", 6))
    print(f"# {time.strftime('%Y-%m-%d')}, {bench.CORES} cores, float32; limit "
          f"{max(bench.machine_rate(build).values()) / 1e9:.0f} GFLOP/s", flush=True)
    for over in options.get("over", ",".join(SWEEPS)).split(","):
        print(f"| {over} | rows | tokens/s | temp bytes | a token | remat_policy | Hugging Face, tokens/s | ratio |\n"
              "|---|---|---|---|---|---|---|---|")
        for setting in settings(over):
            tokens = setting["rows"] * setting["length"]
            seconds, temp, remat = fathom(build, steps, setting)
            peer = torch(steps, setting)
            beside = f"{peer} | " if isinstance(peer, str) else f"{tokens / peer:.0f} | {peer / seconds:.2f}"
            print(f"| {setting[over]} | {setting['rows']} | {tokens / seconds:.0f} | {temp:,} | {temp // tokens:,} | {remat} | "
                  f"{beside} |", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except bench.Failed as error:
        sys.exit(f"scaling_bench.py: {error}")
