"""Saving beside training: how long the loop waits for a save, beside one copy of as many bytes in memory, and how much
slower steps are while the save is written.

Trains the bench model (peers/bench-model.env; its state is 1.3 GB) with a save every `--period` steps, in `--folder` (a
tmpfs, for the program and not a disk). Copies as many bytes once after each save was due, on one thread, into memory
that was written before. Prints one JSON object.

    python3 bench/checkpoint_bench.py --fathom=build/release/fathom [--steps=30] [--period=10] [--folder=/dev/shm/saves]
"""

import argparse
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from train_bench import model_keys  # noqa: E402


def seconds_of_a_copy(size):
    """The least of five copies."""
    source, target = bytearray(size), bytearray(size)
    for at in range(0, size, 4096):
        source[at] = target[at] = 1
    out = []
    for _ in range(5):
        begun = time.perf_counter()
        target[:] = source
        out.append(time.perf_counter() - begun)
    return min(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fathom", default="build/release/fathom")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--period", type=int, default=10)
    parser.add_argument("--folder", default="/dev/shm/fathom_saves")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    keys = [word for word in model_keys() if not word.startswith("enable_checkpointing")]
    command = [options.fathom, "train", "configs/base.yml", "model_name=deepseek3-671b", "override_model_config=True",
               "defaults=maxtext", *keys, "dtype=float32", "attention=flash", "hardware=cpu", "run_name=saves",
               f"base_output_directory={options.folder}", f"steps={options.steps}",
               f"checkpoint_period={options.period}", "max_num_checkpoints_to_keep=1", "save_checkpoint_on_start=false"]
    waits, beside, alone, written, saving, size = [], [], [], [], False, 0
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        for line in run.stdout:
            if copied := re.search(r"checkpoint \d+: ([\d.]+) GB copied in ([\d.]+) s", line):
                size, saving = int(float(copied[1]) * 1e9), True
                waits.append(float(copied[2]))
            elif whole := re.search(r"checkpoint \d+ is whole: [\d.]+ GB in ([\d.]+) s", line):
                saving = False
                written.append(float(whole[1]))
            elif step := re.match(r"completed step: (\d+), seconds: ([\d.]+)", line):
                if int(step[1]) > 2:
                    (beside if saving else alone).append(float(step[2]))
        if run.wait() != 0:
            sys.exit("the run failed")
    shutil.rmtree(options.folder)
    copy = seconds_of_a_copy(size)
    print(json.dumps({
        "GB": size / 1e9, "waits": waits, "copy": round(copy, 3), "wait/copy": round(statistics.median(waits) / copy, 2),
        "written in": written, "step alone": statistics.median(alone), "step beside": statistics.median(beside or [0]),
        "steps beside": len(beside), "slower by": round(statistics.median(beside or [0]) / statistics.median(alone) - 1, 2),
    }))


if __name__ == "__main__":
    main()
