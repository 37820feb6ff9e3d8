"""MaxText's script for converting DeepSeek weights, on a folder of DeepSeek-V3's widths with other numbers of layers and
experts than the script knows. Its last line says seconds, without Python's start, and peak memory.

    peers-env/maxtext/bin/python bench/peers/maxtext_convert.py HF_FOLDER OUT
"""
import json
import pathlib
import resource
import sys
import time

from maxtext.checkpoint_conversion.standalone_scripts import convert_deepseek_family_ckpt as script

folder, out = sys.argv[1:]
config = json.loads((pathlib.Path(folder) / "config.json").read_text())
script.MODEL_PARAMS_DICT["deepseek3-671b"] |= {
    "num_layers": config["num_hidden_layers"], "first_num_dense_layers": config["first_k_dense_replace"],
    "num_experts": config["n_routed_experts"], "has_mtp": False}
sys.argv = [script.__file__, f"--base_model_path={folder}", f"--maxtext_model_path={out}",
            "--model_size=deepseek3-671b", "--simulated_cpu_devices_count=1"]
start = time.perf_counter()
script.main()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
print(f"maxtext: done in {time.perf_counter() - start:.2f} s, peak memory {peak:.3f} GB")
