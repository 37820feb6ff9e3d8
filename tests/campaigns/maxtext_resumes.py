"""MaxText 0.2.5 goes on from our checkpoints, with our next numbers.

python3 tests/campaigns/maxtext_resumes.py FATHOM [FOLDER]

Needs the environment peers-env/maxtext (`./run setup peers`; $PEERS_ENV names another place of peers-env). From a state
that MaxText wrote fathom trains three steps on MaxText's own synthetic batch, saving after each, scanned and not. Then
MaxText goes on from each checkpoint but the last, as the run's own and by load_full_state_path, and from the last one's
parameters by load_parameters_path. Losses, learning rates and norms must be ours within rounding.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEER = pathlib.Path(os.environ.get("PEERS_ENV", ROOT / "peers-env")) / "maxtext/bin/python"
KEPT = ("learning/current_learning_rate", "learning/loss", "learning/raw_grad_norm", "learning/grad_norm",
        "learning/param_norm")
ROUNDING = 4e-6
MACHINE = ["hardware=cpu", "skip_jax_distributed_system=true", "enable_goodput_recording=false",
           "monitor_goodput=false", "enable_tensorboard=false", "log_config=false"]


def words(keys):
    return [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in keys.items()]


def records(path):
    return {int(r["step"]): r for r in map(json.loads, pathlib.Path(path).read_text().splitlines())}


def ours(fathom, home, recorded, scan):
    """Trains from the state and returns the run's folder."""
    case = recorded["cases"][0]
    rows = home / "tokens.jsonl"
    rows.write_text("".join(json.dumps({"tokens": r}) + "\n" for r in recorded["tokens_4x17"] * 8))
    keys = recorded["common_keys"] | case["keys"] | {"scan_layers": scan, "dataset_type": "files"}
    name = f"ours_{'scanned' if scan else 'unscanned'}"
    command = [fathom, "train", "configs/base.yml", *words(keys), "defaults=maxtext", "tokenize_train_data=False",
               "packing=False", "enable_data_shuffling=False", f"dataset_path={rows}", "hardware=cpu",
               f"run_name={name}", f"base_output_directory={home}", "checkpoint_period=1",
               "matmul_precision=highest", f"load_full_state_path=tests/data/{case['state']}/items"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return home / name


def peer_run(home, name, keys):
    """A run of MaxText; its records by step, and what it said."""
    metrics = home / f"{name}.jsonl"
    metrics.unlink(missing_ok=True)
    command = [PEER, "-m", "maxtext.trainers.pre_train.train", f"base_output_directory={home}", f"run_name={name}",
               f"metrics_file={metrics}", f"jax_cache_dir={home}/jax", *MACHINE, *words(keys)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2", "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(command, cwd=home, env=environment, text=True, capture_output=True, timeout=900)
    return (records(metrics) if metrics.exists() else {}), run.stdout[-3000:] + run.stderr[-3000:]


def theirs(home, name, recorded, more):
    keys = {"checkpoint_period": 1} | recorded["common_keys"] | recorded["cases"][0]["keys"] | more
    return peer_run(home, name, keys)


def differences(what, expected, got, said):
    if not got:
        yield f"{what}: MaxText did not go on:\n{said}"
    for step, record in got.items():
        for name in KEPT:
            a, b = float(record[name]), float(expected[step][name])
            if abs(a - b) > ROUNDING * abs(b):
                yield f"{what}: {name} of step {step}: {a} instead of {b}"


def main():
    fathom = pathlib.Path(sys.argv[1]).resolve()
    if not PEER.exists():
        sys.exit(f"{PEER} is not there: ./run setup peers makes it")
    home = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()).resolve()
    home.mkdir(parents=True, exist_ok=True)
    recorded = json.loads((ROOT / "tests/data/maxtext/resume.json").read_text())
    wrong = []
    for scan in (True, False):
        run = ours(fathom, home, recorded, scan)
        expected = records(run / "metrics.jsonl")
        keys = {"scan_layers": scan}
        for step in (2, 3):
            name = f"theirs_{scan}_{step}"
            (home / name / "checkpoints").mkdir(parents=True)
            shutil.copytree(run / "checkpoints" / str(step), home / name / "checkpoints" / str(step))
            wrong += differences(f"own checkpoint {step}, scan_layers={scan}", expected,
                                 *theirs(home, name, recorded, keys))
            path = {"load_full_state_path": f"{run}/checkpoints/{step}/items"}
            wrong += differences(f"load_full_state_path {step}, scan_layers={scan}", expected,
                                 *theirs(home, name + "_path", recorded, keys | path))
        got, said = theirs(home, f"weights_{scan}", recorded,
                           keys | {"load_parameters_path": f"{run}/checkpoints/3/items", "steps": 1})
        if not got or abs(got[0]["learning/loss"] - expected[4]["learning/loss"]) > ROUNDING * 5:
            wrong.append(f"load_parameters_path, scan_layers={scan}: {got.get(0)}\n{said}")
        print(f"scan_layers={scan}: done", flush=True)
    print("\n".join(wrong) or "MaxText goes on from our checkpoints with our numbers")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
