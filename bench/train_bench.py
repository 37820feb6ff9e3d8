"""Tokens per second of the bench model (peers/bench-model.env) on two cores: fathom in several settings, and the peers
that are installed, one after another in the same run.

Usage: train_bench.py BUILD [--steps=N] ["--only=NAME;NAME"]

BUILD is a build folder with `fathom` and `bin/machine_rate_bench`. A figure is the median over the steps after the first
two, which still warm up. The limit is the rate at which this machine multiplies float32 matrices, measured beside every
line; the largest is taken. GFLOP/s count what the model needs (recomputed layers do not count), the same for all lines.
The peers are looked for in $PEERS_ENV (peers-env without it), where `./run setup peers` puts them.
"""
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = pathlib.Path(os.environ.get("PEERS_ENV", ROOT / "peers-env")).absolute()
TOKENS = 4 * 512  # of a step: per_device_batch_size times max_target_length
CORES = 2
WARM_UP = 2
PEER_LIMIT = 900  # seconds that a peer may take


class Failed(Exception):
    """A program ended with an error; the text says which and what it said last."""


def run(command, limit=None, **environment):
    """The standard output of a program on the first CORES cores; after `limit` seconds it is stopped, and what it has
    printed so far is given."""
    if (os.cpu_count() or 1) > CORES:
        command = ["taskset", "-c", f"0-{CORES - 1}", *command]
    with subprocess.Popen([str(word) for word in command], cwd=ROOT, env={**os.environ, **environment}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as child:
        try:
            out, errors = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)  # the peers' scripts have children of their own
            return child.communicate()[0]
        if child.returncode != 0:
            raise Failed(f"{command[0]}: exit {child.returncode}: {errors.strip()[-500:]}")
    return out


def model_keys():
    """The words of BENCH_MODEL and BENCH_RUN."""
    text = (ROOT / "bench/peers/bench-model.env").read_text()
    return " ".join(re.findall(r'^BENCH_\w+="([^"]*)"', text, re.MULTILINE)).split()


def machine_rate(build):
    """FLOP/s of a large float32 product, by who does it: "own_gemm", or the path of a CPU plugin."""
    report = json.loads(run([build / "bin/machine_rate_bench", "--benchmark_format=json"]))
    return {(b.get("label") or b["name"].split("/")[0]): b["FLOP/s"] for b in report["benchmarks"] if "FLOP/s" in b}


def fathom_run(build, steps, keys):
    """Seconds of each step, and the FLOP of one."""
    with tempfile.TemporaryDirectory() as out:
        run([build / "fathom", "train", "configs/base.yml", "run_name=bench", f"base_output_directory={out}",
             "model_name=deepseek3-tiny", "override_model_config=True", *model_keys(), "dtype=float32",
             "sparse_matmul=True", f"steps={steps}", "log_config=False", *keys])
        lines = [json.loads(line) for line in (pathlib.Path(out) / "bench/metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "perf/step_time_seconds" in line]
    return [s["perf/step_time_seconds"] for s in steps], steps[0]["perf/per_device_tflops"] * 1e12


def torch_run(attention):
    """Hugging Face transformers on PyTorch; None when it is not installed."""
    python = PEERS / "torch/bin/python"
    if not python.exists():
        return None
    text = run([python, "bench/peers/hf_train.py"], PEER_LIMIT, ATT=attention, THREADS=str(CORES))
    return [float(s) for s in re.findall(r"^step \d+: ([\d.]+) s", text, re.MULTILINE)]


def maxtext_run(keys):
    """MaxText on JAX; None when it is not installed. The seconds are those between its log lines: the ones it prints
    are the time to hand a step to the device, which is shorter while the queue fills."""
    if not (PEERS / "maxtext/bin/python").exists():
        return None
    text = run(["bench/peers/maxtext_train.sh", "dtype=float32", *keys], PEER_LIMIT, PEERS_ENV=str(PEERS))
    times = [3600 * int(h) + 60 * int(m) + float(s)
             for h, m, s in re.findall(r"(\d\d):(\d\d):(\d\d\.\d+) .*completed step", text)]
    return [(later - earlier) % 86400 for earlier, later in zip(times, times[1:])]


def fathom_settings(plugins):
    """Name of a line -> keys; `plugins` are paths."""
    settings = {
        "fathom": ["attention=dot_product"],
        "fathom, flash attention": ["attention=flash"],
        "fathom, no kernels": ["attention=dot_product", "kernels=off"],
        "fathom, flash attention, no kernels": ["attention=flash", "kernels=off"],
        "fathom, nothing recomputed": ["attention=flash", "remat_policy=none"],
        "fathom, nothing recomputed, no scan": ["attention=flash", "remat_policy=none", "scan_layers=False"],
    }
    for path in plugins:
        settings[f"fathom, flash attention, {pathlib.Path(path).name}"] = ["attention=flash", f"plugin={path}"]
    return settings


def measure(build, steps, only, plugins):
    """Yields (line's name, seconds of each step or None, FLOP of a step or None, load before the line)."""
    def wanted(name):
        return not only or name in only

    for name, keys in fathom_settings(plugins).items():
        if wanted(name):
            load = os.getloadavg()[0]
            yield name, *fathom_run(build, steps, keys), load
    peers = {
        "Hugging Face on PyTorch, eager": lambda: torch_run("eager"),
        "Hugging Face on PyTorch, sdpa": lambda: torch_run("sdpa"),
        "MaxText, tokens sorted by expert": lambda: maxtext_run(["sparse_matmul=True"]),
        "MaxText, every expert on every token": lambda: maxtext_run(["sparse_matmul=False", "megablox=False"]),
    }
    for name, job in peers.items():
        if wanted(name):
            load = os.getloadavg()[0]
            yield name, job(), None, load


def step_seconds(seconds):
    """Median over the steps after the first ones, or why there is none."""
    if seconds is None:
        return "not installed (`./run setup peers`)"
    if len(seconds) <= WARM_UP:
        return f"only {len(seconds)} steps in {PEER_LIMIT} s"
    return statistics.median(seconds[WARM_UP:])


def main(args):
    build = pathlib.Path(args.pop(0)).absolute()
    options = dict(arg.removeprefix("--").split("=", 1) for arg in args)
    steps = int(options.get("steps", 8))
    only = options["only"].split(";") if "only" in options else []
    print(f"# {time.strftime('%Y-%m-%d')}, {CORES} of {os.cpu_count()} cores, float32, {TOKENS} tokens a step, median of "
          f"the steps after the first {WARM_UP}", flush=True)
    rates, rows, flops = machine_rate(build), [], None
    plugins = [name for name in rates if name.endswith(".so")]
    for name, seconds, counted, load in measure(build, steps, only, plugins):
        rates = {who: max(rate, rates[who]) for who, rate in machine_rate(build).items()}
        flops = flops or counted
        rows.append((name, step_seconds(seconds), load))
        print(f"  {name}: {rows[-1][1]}", file=sys.stderr, flush=True)
    limit = max(rates.values())
    print("# float32 products of 2048 x 2048: "
          + ", ".join(f"{pathlib.Path(who).name} {rate / 1e9:.0f}" for who, rate in rates.items())
          + f" GFLOP/s; limit {limit / 1e9:.0f}")
    print("| | tokens/s | seconds a step | GFLOP/s | of the limit | load before |\n|---|---|---|---|---|---|")
    for name, step, load in rows:
        if isinstance(step, str):
            print(f"| {name} | {step} | | | | |")
            continue
        rate = f"{flops / step / 1e9:.0f} | {100 * flops / step / limit:.0f} %" if flops else " | "
        print(f"| {name} | {TOKENS / step:.0f} | {step:.2f} | {rate} | {load:.1f} |")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failed as error:
        sys.exit(f"train_bench.py: {error}")
