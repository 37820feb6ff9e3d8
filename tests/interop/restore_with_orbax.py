"""Writes checkpoint folders in every form with our writer, two of them to a server of S3 too, and reads them with the
real Orbax and TensorStore.

Usage: restore_with_orbax.py ENVIRONMENT WRITER STATES. ENVIRONMENT: the virtual environment with the wheels of
requirements-orbax.txt; WRITER: the program write_orbax_folders; STATES: write_training_state. Exit 77 where the environment is not there, 1 when a
tree, type, shape or byte is another one.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SKIPPED = 77
ON_S3 = ["ocdbt_many_files", "plain_zarr3_zstd"]


def run_in(environment: pathlib.Path):
    """Begins again in the environment, unless this is it."""
    python = environment / "bin/python"
    if not python.exists():
        print(f"skipped: {environment} is not there: ./run test makes it where /usr/bin/python3 is Python 3.11, for "
              f"which its wheels are (here it is {sys.version_info[0]}.{sys.version_info[1]})")
        sys.exit(SKIPPED)
    if pathlib.Path(sys.prefix).resolve() != environment.resolve():
        sys.exit(subprocess.call([python, "-I", *sys.argv]))


def on_s3(writer: str, out: pathlib.Path, names: list):
    """Writes the same folders to a server of S3; yields what is wrong there, apart from their content."""
    with fake_s3.FakeS3(out / "s3") as server:
        def write(name):
            return subprocess.run([writer, out, "s3://bucket/runs", name], env=os.environ | server.environment(),
                                  capture_output=True, text=True)
        for name in names:
            step = out / "s3/bucket/runs" / name / "0"
            step.mkdir(parents=True)
            (step / "mine").write_text("")
            if "there is something already" not in write(name).stderr:
                yield f"{name}: a folder on S3 that is not empty is not refused"
            (step / "mine").unlink()

            server.allowed = len(server.written) + 8  # then it refuses, and the attempt ends
            if "s3://bucket" not in write(name).stderr or (step / "commit_success.txt").exists():
                yield f"{name}: a write that S3 refuses is no error"
            server.allowed = None
            said = write(name)
            kept = "goes on from an attempt of before" if name.startswith("ocdbt") else "removed what an attempt"
            if said.returncode != 0 or kept not in said.stderr:
                yield f"{name}: on S3: {said.stderr}"
            if server.written[-1] != f"runs/{name}/0/commit_success.txt":
                yield f"{name}: on S3 the last file is {server.written[-1]}"
            if any((step.parent / "0.unfinished").glob("*")):
                yield f"{name}: the journal stays on S3"


def main():
    environment, writer, states = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    run_in(environment)
    os.environ.update(XLA_FLAGS="--xla_force_host_platform_device_count=4", JAX_PLATFORMS="cpu", JAX_ENABLE_X64="1",
                      TF_CPP_MIN_LOG_LEVEL="2")
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        wrong = list(on_s3(writer, out, ON_S3))
        subprocess.run([writer, out], check=True)
        expected = json.loads((out / "expected.json").read_text())
        cases = {case["name"]: case for case in expected["cases"]}
        steps = [(out / name / "0", case) for name, case in cases.items()]
        steps += [(out / "s3/bucket/runs" / name / "0", cases[name] | {"name": f"{name} on S3"}) for name in ON_S3]
        import restored  # heavy, and only here
        for step, case in steps:
            wrong += restored.problems(step, case, expected["arrays"])
        subprocess.run([states, out / "states"], check=True)
        for folder in sorted((out / "states").iterdir()):
            state = json.loads((folder / "expected.json").read_text())
            steps.append(folder)
            wrong += restored.problems(folder / "6", state["case"], state["arrays"])
    print("\n".join(wrong) or f"{len(steps)} folders: all as written")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    import fake_s3
    main()
