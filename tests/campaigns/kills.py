"""Runs killed at random moments, until so many kills have been made: nothing that was reported saved is lost.

python3 tests/campaigns/kills.py FATHOM [KILLS] [FOLDER]

A small model is trained for 60 steps with a save every second one. Each start of the run is killed (SIGKILL; one time
in four SIGTERM) after a random time, and the same command is given again until the run is done; then another run
begins, of another kind: text, JSONL or parquet, saved beside training or not, all checkpoints kept or two. After each
kill every checkpoint that the run reported whole and did not have to remove must be there and be read by `inspect`; at
the end metrics.jsonl must be that of an undisturbed run, bit for bit, but for times.
"""

import json
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

STEPS = 60
KEYS = [
    "configs/base.yml", "run_name=run", "hardware=cpu", "model_name=auto", "dtype=float32", "per_device_batch_size=4",
    "load_parameters_path=tests/data/deepseek_v3/hf", "max_target_length=160", f"steps={STEPS}", "learning_rate=1e-3",
    "num_epoch=9", "checkpoint_period=2", "enable_tensorboard=true",
]
KINDS = [
    [f"dataset_path=tests/data/data/corpus.{kind}", f"async_checkpointing={beside}"] + keep
    for kind in ("txt", "jsonl", "parquet")
    for beside in ("true", "false")
    for keep in ([], ["max_num_checkpoints_to_keep=2"])
]


def learned(run):
    """The records without what depends on the machine's speed."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("perf/")} for line in lines]


def start(fathom, words, output, after=None):
    """One start of the run; sent a signal after `after` seconds. Returns its exit code and what it said."""
    said = open(output / "err", "wb+")
    process = subprocess.Popen([fathom, "train", *words, f"base_output_directory={output}"], stdout=subprocess.DEVNULL,
                               stderr=said)
    try:
        process.wait(after if after is not None else 600)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM if random.random() < 0.25 else signal.SIGKILL)
        process.wait(60)
    said.seek(0)
    return process.returncode, said.read().decode()


def lost(fathom, run, reported, keep):
    """What is wrong with the checkpoints that were reported whole."""
    for step in sorted(reported)[-keep:]:
        there = run / "checkpoints" / str(step)
        if not there.is_dir():
            yield f"checkpoint {step} was reported whole and is gone"
            continue
        looked = subprocess.run([fathom, "inspect", there, "--json"], capture_output=True, text=True)
        if looked.returncode != 0:
            yield f"checkpoint {step}: {looked.stderr}"


def main():
    fathom, kills = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    home = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else pathlib.Path(tempfile.mkdtemp())
    home.mkdir(parents=True, exist_ok=True)
    random.seed(time.time_ns())
    made, runs, wrong, undisturbed = 0, 0, [], {}
    cache = f"jax_cache_dir={home}/cache"
    while made < kills and not wrong:
        kind = KINDS[runs % len(KINDS)]
        if kind[0] not in undisturbed:
            for attempt in ("compiles", "measured"):
                whole = home / f"{attempt}{len(undisturbed)}"
                whole.mkdir()
                before = time.monotonic()
                code, said = start(fathom, [*KEYS, cache, kind[0]], whole)
                if code != 0:
                    sys.exit(f"an undisturbed run failed:\n{said}")
            undisturbed[kind[0]] = learned(whole / "run"), time.monotonic() - before
        expected, seconds = undisturbed[kind[0]]
        output = home / "killed"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        runs, reported, begun = runs + 1, set(), time.monotonic()
        while not wrong:
            code, said = start(fathom, [*KEYS, cache, *kind], output, random.uniform(0.05, seconds))
            reported |= {int(step) for step in re.findall(r"checkpoint (\d+) is whole", said)}
            wrong += lost(fathom, output / "run", reported, 2 if len(kind) > 2 else len(reported))
            if code == 0:
                break
            if code not in (-signal.SIGKILL, 128 + signal.SIGTERM):
                wrong.append(f"exit code {code}: {said}")
            made += 1
        if not wrong and learned(output / "run") != expected:
            wrong.append(f"run {runs} ({' '.join(kind)}): other numbers than the undisturbed run")
        print(f"{made} kills, {runs} runs, the last in {time.monotonic() - begun:.0f} s", flush=True)
    print("\n".join(wrong) or f"{made} kills in {runs} runs: nothing that was reported saved was lost")
    if len(sys.argv) <= 3 and not wrong:
        shutil.rmtree(home)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
