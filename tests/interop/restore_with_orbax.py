"""Writes checkpoint folders in every form with our writer, and reads them with the real Orbax and TensorStore.

Usage: restore_with_orbax.py ENVIRONMENT WRITER. ENVIRONMENT: the virtual environment with the wheels of
requirements-orbax.txt; WRITER: the program write_orbax_folders. Exit 77 where the environment is not there, 1 when a
tree, type, shape or byte is another one.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SKIPPED = 77


def run_in(environment: pathlib.Path):
    """Begins again in the environment, unless this is it."""
    python = environment / "bin/python"
    if not python.exists():
        print(f"skipped: {environment} is not there: ./run test makes it where /usr/bin/python3 is Python 3.11, for "
              f"which its wheels are (here it is {sys.version_info[0]}.{sys.version_info[1]})")
        sys.exit(SKIPPED)
    if pathlib.Path(sys.prefix).resolve() != environment.resolve():
        sys.exit(subprocess.call([python, "-I", *sys.argv]))


def main():
    environment, writer = pathlib.Path(sys.argv[1]), sys.argv[2]
    run_in(environment)
    os.environ.update(XLA_FLAGS="--xla_force_host_platform_device_count=4", JAX_PLATFORMS="cpu", JAX_ENABLE_X64="1",
                      TF_CPP_MIN_LOG_LEVEL="2")
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([writer, out], check=True)
        expected = json.loads((pathlib.Path(out) / "expected.json").read_text())
        import restored  # heavy, and only here
        wrong = [line for case in expected["cases"]
                 for line in restored.problems(pathlib.Path(out) / case["name"] / "0", case, expected["arrays"])]
    print("\n".join(wrong) or f"{len(expected['cases'])} folders of {len(expected['arrays'])} arrays: all as written")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
