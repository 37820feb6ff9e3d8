"""Everything of a run on gs:// and s3://: reads of ranges, writes in parts, servers that are silent, busy or refuse,
training with data, weights and run folder there, converters.

Usage: buckets_test.py ENVIRONMENT FATHOM STORE_TOOL [NAME...]. ENVIRONMENT: the virtual environment with the wheels of
requirements-buckets.txt. Exit 77 where it is not there, 1 when something is wrong, which is said.
"""
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
MODEL = "tests/data/deepseek_v3/hf"
BIG = 25_000_000  # bytes: three parts
PATIENCE = 240  # seconds: a process that hangs is an error, too


def run_in(environment: pathlib.Path):
    """Begins again in the environment, unless this is it."""
    python = environment / "bin/python"
    if not python.exists():
        print(f"skipped: {environment} is not there: ./run test makes it where /usr/bin/python3 is Python 3.11, for "
              f"which its wheels are (here it is {sys.version_info[0]}.{sys.version_info[1]})")
        sys.exit(SKIPPED)
    if pathlib.Path(sys.prefix).resolve() != environment.resolve():
        sys.exit(subprocess.call([python, "-I", *sys.argv]))


class Wrong(Exception):
    pass


def need(condition, *said):
    if not condition:
        raise Wrong(" ".join(str(s) for s in said))


class Bench:
    """The programs, run against a server or the proxy on `port` before it."""

    def __init__(self, server, port=None):
        self.server, self.scheme = server, server.scheme
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "STORAGE_", "GOOGLE_"))}
        self.environment = clean | server.environment(port)

    def path(self, key):
        return f"{self.scheme}://bucket/{key}"

    def run(self, *words, code=0):
        done = subprocess.run([str(w) for w in words], env=self.environment, capture_output=True, text=True,
                              timeout=PATIENCE)
        need(done.returncode == code, words[1:], "ends with", done.returncode, "and not", code, done.stderr)
        return done

    def tool(self, *words, code=0):
        return self.run(TOOL, *words, code=code)

    def fathom(self, *words, code=0):
        return self.run(FATHOM, *words, code=code)

    def error(self, program, *words, code=2):
        """The one line that a failed command says."""
        lines = [line for line in self.run(program, *words, code=code).stderr.splitlines()
                 if program == TOOL or line.startswith("E")]
        lines = [line for line in lines if " so far" not in line]
        need(len(lines) == 1, words, "says more than one line, or none:", lines)
        return lines[0]


# ---- The store ----

def ranges_parts_and_names(server):
    b = Bench(server)
    big = b.path("store/big")
    b.tool("put", big, BIG)
    b.tool("check", big, BIG)
    b.tool("parts", b.path("store/in parts+%20"), 3_000_001)  # a key is no URI
    b.tool("check", b.path("store/in parts+%20"), 3_000_001)
    b.tool("put", b.path("store/below/empty"), 0)
    need(b.tool("list", b.path("store")).stdout == f"below 0 1\nbig {BIG} 0\nin parts+%20 3000001 0\n", "list")
    need([b.tool("kind", b.path(k)).stdout for k in ("store", "store/big", "store/bi")] == ["folder", "file", "absent"],
         "kinds")
    need("ends after 25000000 bytes" in b.error(TOOL, "range", big, BIG - 3, 4), "a read past the end")
    peak = int(b.tool("put", b.path("store/bigger"), 5 * BIG).stdout)
    need(peak < 4 * BIG, "an upload of", 5 * BIG, "bytes has taken", peak)
    b.tool("remove", b.path("store/bigger"))
    b.tool("give_up", b.path("given/up"), BIG)
    need(not server.keys("given"), "an upload that was given up left something")
    if b.scheme == "s3":
        parts = server.client.head_object(Bucket="bucket", Key="store/big", PartNumber=1)
        need(parts["PartsCount"] == 3, "big objects go out in parts:", parts)
        need("Uploads" not in server.client.list_multipart_uploads(Bucket="bucket"), "an upload is still open")
    b.tool("remove", b.path("store"))
    b.tool("remove", b.path("store"))
    need(not server.keys("store/"), "something is left of a folder that was removed", server.keys("store/"))


def busy_server_is_asked_again(server):
    with servers.bad_proxy(server, "busy") as proxy:
        b = Bench(server, proxy.port)
        b.tool("put", b.path("busy/big"), BIG)
        b.tool("check", b.path("busy/big"), BIG)
        need(proxy.refused > 3, "the server refused only", proxy.refused)


def server_that_stays_busy_is_an_error(server):
    with servers.bad_proxy(server, "always_busy") as proxy:
        b = Bench(server, proxy.port)
        said = b.error(TOOL, "kind", b.path("x"))
        need("bucket/x: " in said and f":{proxy.port}" in said and proxy.refused > 2, said, proxy.refused)


def silent_server_is_one_error(server):
    with servers.bad_proxy(server, "silent") as proxy:
        b = Bench(server, proxy.port)
        began = time.monotonic()
        said = b.error(FATHOM, "inspect", b.path("model"))
        need("bucket/model" in said and "no answer" in said and f":{proxy.port}" in said, said)
        need(time.monotonic() - began < 31, "an error after more than 30 s")


def transfers_that_stand_still_are_errors(server):
    Bench(server).tool("put", Bench(server).path("still"), 1_000_000)
    with servers.bad_proxy(server, "stalls") as proxy:
        b = Bench(server, proxy.port)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            read = pool.submit(b.error, TOOL, "range", b.path("still"), 0, 1_000_000)
            written = pool.submit(b.error, TOOL, "put", b.path("stalled"), 1_000_000, code=1)
            for said in read.result(), written.result():
                need("no answer" in said and f":{proxy.port}" in said, said)


def refusals_say_what_to_do(server):
    b = Bench(server)
    said = b.error(TOOL, "kind", f"{b.scheme}://no-such-bucket/x")
    need("no bucket 'no-such-bucket'" in said, said)
    with servers.bad_proxy(server, (403, "AccessDenied")) as proxy:
        said = Bench(server, proxy.port).error(TOOL, "range", b.path("x"), 0, 1)
        need("access is denied; check the credentials" in said, said)
    if b.scheme == "s3":
        with servers.bad_proxy(server, (301, "PermanentRedirect")) as proxy:
            said = Bench(server, proxy.port).error(TOOL, "range", b.path("x"), 0, 1)
            need("in another region; set AWS_DEFAULT_REGION" in said, said)


# ---- Training ----

def upload_folder(server, folder, prefix):
    for file in pathlib.Path(folder).rglob("*"):
        if file.is_file():
            server.put(f"{prefix}/{file.relative_to(folder)}", file.read_bytes())


def train_words(b, *keys):
    cache = pathlib.Path(FATHOM).parent / "compile_cache_of_tests"
    words = {"run_name": "run", "base_output_directory": b.path("runs"), "hardware": "cpu", "jax_cache_dir": cache,
             "model_name": "auto", "load_parameters_path": b.path("model"), "dataset_path": b.path("data/corpus.txt"),
             "dtype": "float32", "per_device_batch_size": 4, "max_target_length": 160, "steps": 5, "log_period": 2,
             "learning_rate": "1e-3", "learning_rate_schedule_steps": 12, "warmup_steps_fraction": 0.25,
             "z_loss_multiplier": "1e-3", "enable_checkpointing": "false"}
    words |= dict(key.split("=", 1) for key in keys)
    return [FATHOM, "train", "configs/base.yml", *(f"{k}={v}" for k, v in words.items())]


def records(server, key):
    return [json.loads(line) for line in server.get(key).splitlines()]


def report(server):
    """The page of a run on a bucket is that of the same run on a disk, wherever it goes."""
    b = Bench(server)
    b.fathom("report", b.path("runs/run"))
    page = server.get("runs/run/report.html")
    need(page.endswith(b"</html>\n"), "the report is not whole")
    b.fathom("report", b.path("runs/run"), f"--output={b.path('pages/of/run.html')}")
    need(server.get("pages/of/run.html") == page, "another place, another report")
    with tempfile.TemporaryDirectory() as local:
        folder = pathlib.Path(local, "run")
        folder.mkdir()
        for name in ("metrics.jsonl", "expert_load.jsonl", "config.yml"):
            (folder / name).write_bytes(server.get(f"runs/run/{name}"))
        b.fathom("report", folder)
        of_copy = (folder / "report.html").read_bytes()
    # A page says of which folder it is.
    need(of_copy.replace(str(folder).encode(), b.path("runs/run").encode()) == page, "the report of a local copy differs")
    said = b.error(FATHOM, "report", b.path("runs"))
    need("bucket/runs/run" in said, "the runs of a folder are not named:", said)
    need("bucket/gone" in b.error(FATHOM, "report", b.path("gone")), "a run that is not there")


def training(server):
    """Data, weights, config.json, tokenizer, run folder and copy of the metrics on a bucket."""
    b = Bench(server)
    upload_folder(server, MODEL, "model")
    for name in ("corpus.txt", "corpus.parquet"):
        server.put(f"data/{name}", pathlib.Path("tests/data/data", name).read_bytes())
    b.run(*train_words(b, f"metrics_file={b.path('copies/metrics.jsonl')}"))
    metrics = server.get("runs/run/metrics.jsonl")
    need([r["step"] for r in records(server, "runs/run/metrics.jsonl")] == list(range(5)), metrics)
    need(server.get("copies/metrics.jsonl") == metrics, "the copy of the metrics differs")
    with tempfile.TemporaryDirectory() as local:
        keys = [f"base_output_directory={local}", f"load_parameters_path={MODEL}", "dataset_path=tests/data/data/corpus.txt"]
        b.run(*train_words(b, *keys))
        losses = [json.loads(line)["learning/loss"] for line in open(f"{local}/run/metrics.jsonl")]
    need([r["learning/loss"] for r in records(server, "runs/run/metrics.jsonl")] == losses, "losses differ from local ones")
    need(b"run_name: run" in server.get("runs/run/config.yml"), "config.yml")
    events = [k for k in server.keys("runs/run/tensorboard/")]
    need(len(events) == 1 and len(server.get(events[0])) > 1000, "TensorBoard", events)
    report(server)

    said = b.error(*train_words(b))
    need("s3://bucket/runs/run/metrics.jsonl holds the metrics of another run" in said.replace("gs://", "s3://"), said)
    need(server.get("runs/run/metrics.jsonl") == metrics, "metrics of another run were touched")
    b.run(*train_words(b, "overwrite=true", "steps=2", f"dataset_path={b.path('data/corpus.parquet')}"))
    need(len(records(server, "runs/run/metrics.jsonl")) == 2, "overwrite=true keeps what was there")

    said = b.error(*train_words(b, f"base_output_directory={b.scheme}://no-such-bucket/runs"))
    need("no bucket 'no-such-bucket'" in said, said)


def run_that_fails_or_is_stopped_leaves_its_metrics(server):
    b = Bench(server)
    copies = tempfile.TemporaryDirectory()
    b.environment["TMPDIR"] = copies.name
    local = ["dataset_type=synthetic", f"load_parameters_path={MODEL}", "log_period=1000"]
    done = b.run(*train_words(b, *local, "run_name=failed", "learning_rate=1e30", "steps=100"), code=1)
    need(len(records(server, "runs/failed/metrics.jsonl")) > 1, "a run that failed left no metrics", done.stderr)
    with subprocess.Popen(train_words(b, *local, "run_name=stopped", "steps=1000000"), env=b.environment,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        printed = 3 + len(process.stdout.read().splitlines())
    need(process.returncode == 128 + signal.SIGTERM, "stopped:", process.returncode)
    need(len(records(server, "runs/stopped/metrics.jsonl")) == printed, "a run that was stopped left fewer metrics")
    need(not os.listdir(copies.name), "local copies are left:", os.listdir(copies.name))


def outage_in_a_run_costs_nothing(server):
    """The server is silent for a while in the middle of a run."""
    with servers.bad_proxy(server, None) as proxy:
        b = Bench(server, proxy.port)
        words = train_words(b, "dataset_type=synthetic", f"load_parameters_path={MODEL}", "run_name=outage", "log_period=1",
                            "steps=1000000")
        with subprocess.Popen(words, env=b.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            for step in range(12):
                run.stdout.readline()
                proxy.mode = "always_busy" if 2 <= step < 8 else None
            run.send_signal(signal.SIGINT)
            printed = 12 + len(run.communicate()[0].splitlines())
        need(run.returncode == 128 + signal.SIGINT, "outage:", run.returncode)
        need(len(records(server, "runs/outage/metrics.jsonl")) == printed, "metrics are missing after an outage")


def decode_words(*keys):
    return ["decode", "configs/base.yml", "hardware=cpu", "model_name=auto", "dtype=float32", "weight_dtype=float32",
            f"jax_cache_dir={pathlib.Path(FATHOM).parent / 'compile_cache_of_tests'}", "max_prefill_predict_length=8",
            "max_target_length=12", "--ids", *keys]


def weights_that_changed_are_noticed(server):
    """Results are not gone on with when the objects of the weights were written again."""
    b = Bench(server)
    upload_folder(server, MODEL, "changing")
    with tempfile.TemporaryDirectory() as local:
        prompts = pathlib.Path(local, "prompts.jsonl")
        prompts.write_text('{"prompt_ids": [0, 451, 223]}\n')
        words = decode_words(f"load_parameters_path={b.path('changing')}", f"--prompts={prompts}",
                             f"--output={local}/out.jsonl")
        b.fathom(*words)
        need("1 of 1 prompt are done" in b.fathom(*words).stderr, "the same weights")
        time.sleep(1.1)  # a store may count whole seconds
        server.put("changing/model.safetensors", pathlib.Path(MODEL, "model.safetensors").read_bytes())
        said = b.fathom(*words).stderr
        need("they are replaced" in said, said)


def newest_step_of_a_run(server):
    """Of a run's folder the newest step that is whole is taken, as of a local one."""
    b = Bench(server)
    server.put("runs/saved/checkpoints/99/items/_METADATA", b"of a save that was ended")
    words = decode_words("--prompt_ids=0,451,223")
    folder = b.path("runs/saved/checkpoints/7")
    tokens = b.fathom(*words, f"load_parameters_path={folder}").stdout
    for newest in ([f"load_parameters_path={b.path('runs/saved')}"],
                   [f"load_parameters_path={b.path('runs/saved/checkpoints')}"],
                   ["run_name=saved", f"base_output_directory={b.path('runs')}"]):
        done = b.fathom(*words, *newest)
        need(done.stdout == tokens and f"the newest step, {folder}" in done.stderr, newest, done.stdout, done.stderr)
    need(f"the newest step, {folder}" in b.fathom("inspect", b.path("runs/saved")).stderr, "inspect")


def runs_go_on(server):
    """Checkpoints on a bucket; a run that is killed goes on there as if it had not been."""
    b = Bench(server)
    keys = ["dataset_path=tests/data/data/corpus.txt", f"load_parameters_path={MODEL}", "enable_checkpointing=true",
            "checkpoint_period=3", "steps=8", "log_period=1000", "run_name=saved", "async_checkpointing=false"]
    with tempfile.TemporaryDirectory() as local:
        b.run(*train_words(b, *keys, f"base_output_directory={local}"))
        losses = [json.loads(line)["learning/loss"] for line in open(f"{local}/saved/metrics.jsonl")]
    marker = "runs/saved/checkpoints/3/commit_success.txt"
    with subprocess.Popen(train_words(b, *keys, "checkpoint_period=3"), env=b.environment,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not server.keys(marker):
            time.sleep(0.05)
        process.kill()
    server.put("runs/saved/checkpoints/99/items/d/half", b"of a save that was ended")
    done = b.run(*train_words(b, *keys, "max_num_checkpoints_to_keep=2"))
    need("going on after step" in done.stderr and "removed what a save that was ended left" in done.stderr, done.stderr)
    need([r["learning/loss"] for r in records(server, "runs/saved/metrics.jsonl")] == losses, "other losses")
    saved = {key.split("/")[3] for key in server.keys("runs/saved/checkpoints/")}
    need(saved == {"6", "7"}, "checkpoints:", saved)
    b.fathom("inspect", b.path("runs/saved/checkpoints/7"))
    newest_step_of_a_run(server)
    manifest = "runs/saved/checkpoints/7/items/manifest.ocdbt"
    server.put(manifest, server.get(manifest)[:20])
    done = b.run(*train_words(b, *keys))
    need("cannot be read" in done.stderr and "removed, as it cannot be read" in done.stderr, done.stderr)
    need([r["learning/loss"] for r in records(server, "runs/saved/metrics.jsonl")] == losses, "other losses after damage")
    b.run(*train_words(b, "run_name=of_state", "steps=9", "dataset_type=synthetic", "enable_checkpointing=true",
                       "load_parameters_path=", f"load_full_state_path={b.path('runs/saved/checkpoints/7/items')}"))


# ---- Converters ----

def converters(server):
    b = Bench(server)
    exact = "--save_dtype=float32"
    b.fathom("to_maxtext", "model_name=auto", f"base_output_directory={b.path('c/max')}", f"--hf_model_path={MODEL}", exact)
    back = ["to_huggingface", "model_name=auto", f"load_parameters_path={b.path('c/max/0/items')}",
            f"base_output_directory={b.path('c/hf')}", exact]
    b.fathom(*back)
    need("204 differences" not in b.fathom("inspect", "--diff", b.path("c/hf"), MODEL).stdout, "round trip")
    need("0 bytes read and written" in b.fathom(*back).stdout, "what is whole is written again")
    need(server.get("c/hf/tokenizer.json") == pathlib.Path(MODEL, "tokenizer.json").read_bytes(), "the tokenizer")
    b.fathom("convert_deepseek_family_unscanned_ckpt", "--model_size=auto", f"--base_model_path={b.path('c/hf')}",
             f"--maxtext_model_path={b.path('c/plain')}", "--use-ocdbt=false", "--enable_mtp", exact)
    b.fathom("inspect", "--diff", b.path("c/plain/0/items"), MODEL)
    upload_folder(server, "tests/data/fp8/folder", "c/fp8")
    dequantize = ["deepseek_fp8_to_bf16", f"--input-fp8-hf-path={b.path('c/fp8')}",
                  f"--output-bf16-hf-path={b.path('c/bf16')}"]
    b.fathom(*dequantize)
    with tempfile.TemporaryDirectory() as local:
        b.fathom("deepseek_fp8_to_bf16", "--input-fp8-hf-path=tests/data/fp8/folder", f"--output-bf16-hf-path={local}")
        files = {p.relative_to(local).as_posix(): p.read_bytes() for p in pathlib.Path(local).rglob("*") if p.is_file()}
        need(files == {k.removeprefix("c/bf16/"): server.get(k) for k in server.keys("c/bf16/")}, "bfloat16 differs")
    b.fathom(*dequantize)


# Those that wait most of the time, and those that work.
PATIENT = [silent_server_is_one_error, transfers_that_stand_still_are_errors, busy_server_is_asked_again,
           server_that_stays_busy_is_an_error, refusals_say_what_to_do, ranges_parts_and_names]
BUSY = [training, runs_go_on, run_that_fails_or_is_stopped_leaves_its_metrics, outage_in_a_run_costs_nothing,
        converters, weights_that_changed_are_noticed]


def main():
    names = sys.argv[4:]
    failed, began = 0, time.monotonic()

    def timed(test, kind):
        try:
            test(kind())
        finally:
            if os.environ.get("BUCKETS_TEST_TIMES"):
                print(f"{kind.scheme}: {test.__name__}: {time.monotonic() - began:.0f} s after the beginning", flush=True)

    with concurrent.futures.ThreadPoolExecutor(6) as many, concurrent.futures.ThreadPoolExecutor(2) as few:
        under_way = [(test, kind, pool.submit(timed, test, kind)) for tests, pool in ((PATIENT, many), (BUSY, few))
                     for test in tests if not names or test.__name__ in names for kind in (servers.S3, servers.Google)]
        for test, kind, result in under_way:
            try:
                result.result()
            except Exception as e:  # of any kind: the others go on
                failed += 1
                print(f"{kind.scheme}: {test.__name__}: {type(e).__name__}: {e}")
    print(f"{len(under_way) - failed} of {len(under_way)} passed")
    sys.stdout.flush()
    os._exit(failed > 0)  # threads of servers may still wait


if __name__ == "__main__":
    run_in(pathlib.Path(sys.argv[1]))
    FATHOM, TOOL = sys.argv[2:4]
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    import servers
    main()
