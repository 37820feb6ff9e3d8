"""Feeds fathom what users get wrong, by kind: no input may crash it, hang it, or pass in silence.

Usage: bad_inputs.py FATHOM [KIND...]. Runs in the root of the tree. Prints a table with a row a kind and a line for each
case that went wrong; exit 1 if there is one.

A case is refused (exit 2, one line that holds the words expected, no file left behind) unless it says otherwise. "Hang"
is more than LIMIT seconds; "crash" a signal, "internal fault" or an exit code that is none of 0, 1, 2.
"""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LIMIT = 60  # seconds
MODEL = pathlib.Path("tests/data/deepseek_v3/hf")
TOKENIZER = pathlib.Path("tests/data/tokenizer")
TRAIN = ["train", "configs/base.yml", "run_name=run", "hardware=cpu", "model_name=deepseek3-tiny", "dtype=float32",
         "override_model_config=True", "base_num_decoder_layers=2", "first_num_dense_layers=1", "base_emb_dim=16",
         "base_mlp_dim=16", "base_moe_mlp_dim=16", "vocab_size=2000", "steps=1", "per_device_batch_size=2",
         "max_target_length=16", "enable_tensorboard=False", "log_config=False", "dataset_type=synthetic"]
TEXT = [w for w in TRAIN if not w.startswith("dataset_type")] + [f"tokenizer_path={TOKENIZER}"]
NUMBERS = ["-1", "nan", "inf", "-inf", "1e300", "2147483648", "4294967296", "9223372036854775807", "18446744073709551616",
           "1e999", "x", "[]", "{}", "010", "0x7fffffff"]


EXPECTED = {"name changed": "norm", "type changed": "lm_head.weight"}  # of broken weights; else the file


class Case:
    """words: the command line; expect: words of the message ("a|b": one of them), None where any refusal or success will do; code: exit code."""

    def __init__(self, name, words, expect=(), code=2, prepare=None, environment=None, limits=()):
        self.name, self.words, self.code = name, list(words), code
        self.expect = (expect,) if isinstance(expect, str) else expect
        self.prepare, self.environment, self.limits = prepare, environment or {}, limits


def set_limits(limits):
    def before_exec():
        for what, amount in limits:
            resource.setrlimit(what, (amount, amount))
    return before_exec


def run(fathom, case, folder):
    """What went wrong, or None."""
    out = folder / "out"
    if case.prepare:
        case.prepare(folder)
    words = [word.replace("@", str(folder)) for word in case.words]
    if words and words[0] in ("train", "demo"):
        words.append(f"base_output_directory={out}")
    environment = {**os.environ, "HOME": str(folder), **case.environment}
    try:
        done = subprocess.run([fathom, *words], capture_output=True, timeout=LIMIT, env=environment, check=False,
                              stdin=subprocess.DEVNULL, preexec_fn=set_limits(case.limits), errors="replace")
    except subprocess.TimeoutExpired:
        return "hang"
    said = done.stderr.strip().splitlines()
    last = said[-1] if said else ""
    if done.returncode not in (0, 1, 2) or "internal fault" in done.stderr:
        return f"crash: exit {done.returncode}: {last[-200:]}"
    if case.expect is None:
        return None
    if done.returncode != case.code:
        return f"silent: exit {done.returncode} instead of {case.code}: {last[-200:]}"
    if case.code == 2 and not last and not done.stdout:
        return "silent: no message"
    output = done.stderr + done.stdout
    missing = [word for word in case.expect if not any(either in output for either in word.split("|"))]
    if missing:
        return f"words: {missing} not in: {last[-300:]}"
    if case.code == 2 and out.exists():
        return "left behind: the output folder"
    return None


def keys_by_type(fathom):
    """{key: type} of what is built."""
    text = subprocess.run([fathom, "keys"], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^\| (\w+) \| ([^|]*) \| [^|]*\| built \|", text, re.MULTILINE)
    return {key: kind.strip() for key, kind in rows}


def key_values(fathom):
    """Every number of the key table with every number that is out of range, or no number. Text only: nothing is compiled."""
    for key, kind in keys_by_type(fathom).items():
        if not re.match("int|float", kind):
            continue
        for value in NUMBERS:
            words = ["train_compile", *TRAIN[1:], "--no_compile", f"{key}={value}"]
            yield Case(f"{key}={value}", words, None)


def sizes(_):
    huge = ["2147483647", "2147483648", "4611686018427387904", "9223372036854775807"]
    for key in ["max_target_length", "per_device_batch_size", "gradient_accumulation_steps", "base_num_decoder_layers",
                "vocab_size", "base_emb_dim", "num_experts", "base_moe_mlp_dim", "kv_lora_rank", "cpu_device_count"]:
        for value in huge:
            # What the key's range allows may still be too large for this machine: said of the model as a whole.
            yield Case(f"{key}={value}", [*TRAIN, f"{key}={value}"], f"{key}|this machine has")
    yield Case("cpu_device_count=100000", [*TRAIN, "cpu_device_count=100000"], "cpu_device_count")


def words(_):
    yield Case("no command", [], "usage", 2)
    yield Case("unknown command", ["trian"], "train")
    yield Case("unknown key", [*TRAIN, "learning_rat=1"], "learning_rate")
    yield Case("other trainer's key", [*TRAIN, "lr=1"], "learning_rate")
    yield Case("other trainer's key", [*TRAIN, "max_seq_len=1"], "max_target_length")
    yield Case("other trainer's key", [*TRAIN, "batch_size=8"], "per_device_batch_size")
    yield Case("unknown flag", ["verify", str(MODEL.parent), "--onyl=logits"], "only")
    yield Case("stray word", [*TRAIN, "stray"], "stray")
    yield Case("empty value", [*TRAIN, "learning_rate="], "learning_rate")
    yield Case("interpolation of nothing", [*TRAIN, "learning_rate=${gone}"], "gone")
    yield Case("interpolation of itself", [*TRAIN, "learning_rate=${learning_rate}"], "learning_rate")
    yield Case("misspelt in the environment", TRAIN, "M_LEARNING_RAT", environment={"M_LEARNING_RAT": "1"})
    yield Case("model of another name", [*TRAIN, "model_name=deepseek4-pro"], "deepseek3-671b")
    yield Case("index without a count", [*TRAIN, "process_count=1", "process_index=3"], "process_")
    for help_word in (["-h"], ["--help"], ["help"], ["--version"], ["train", "-h"], ["train", "--help"], ["keys", "rope"]):
        yield Case(" ".join(help_word), help_word, (), 0)


def yaml(_):
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12))
    files = {"alias bomb": bomb, "alias of itself": "a: &a [*a]\n", "deep": "a: " + "[" * 100000 + "]" * 100000,
             "twice": "steps: 1\nsteps: 2\n", "second document": "steps: 1\n---\nsteps: 2\n", "open quote": "steps: 'x\n",
             "tag": "steps: !!python/object:os.system x\n", "nul": "steps: 1\0\n", "list": "- 1\n", "text": "hello\n",
             "latin 1": "steps: 1 # \xe9\n", "huge key": "k" * 1000000 + ": 1\n", "tab": "\tsteps: 1\n"}
    for name, text in files.items():
        def prepare(folder, text=text):
            (folder / "c.yml").write_bytes(text.encode("latin-1"))
        yield Case(name, ["train", "@/c.yml", *TRAIN[2:]], "c.yml", prepare=prepare)
    yield Case("folder", ["train", "tests", *TRAIN[2:]], ())
    yield Case("not there", ["train", "gone.yml", *TRAIN[2:]], "gone.yml")


def config_json(_):
    def changed(**fields):
        def prepare(folder):
            shutil.copytree(MODEL, folder / "hf")
            config = json.loads((folder / "hf/config.json").read_text())
            for key, value in fields.items():
                config[key] = value
            (folder / "hf/config.json").write_text(json.dumps(config))
        return prepare

    def text(content):
        def prepare(folder):
            shutil.copytree(MODEL, folder / "hf")
            (folder / "hf/config.json").write_bytes(content)
        return prepare
    auto = ["train", "configs/base.yml", "run_name=run", "hardware=cpu", "model_name=auto", "load_parameters_path=@/hf",
            "dataset_type=synthetic", "steps=1", "max_target_length=16", "per_device_batch_size=1", "dtype=float32",
            "log_config=False"]
    for name, value in [("n_group", 0), ("norm_topk_prob", "yes"), ("num_hidden_layers", 2), ("num_hidden_layers", 99),
                        ("hidden_size", -16), ("vocab_size", 1 << 40), ("rms_norm_eps", -1), ("rms_norm_eps", "nan"),
                        ("num_experts_per_tok", 1000), ("n_routed_experts", 0), ("topk_group", 100), ("rope_theta", 0),
                        ("kv_lora_rank", None), ("topk_method", "best"), ("scoring_func", "relu"),
                        ("hidden_act", "gelu"), ("model_type", "llama"), ("attention_bias", True),
                        ("something_new_that_scales", 2.0), ("rope_scaling", {"type": "odd", "factor": 4})]:
        yield Case(f"{name}={value!r}", auto, name, prepare=changed(**{name: value}))
    for name, content in [("cut", b'{"hidden_size": 16'), ("empty", b""), ("list", b"[]"), ("deep", b"[" * 200000),
                          ("nul", b"\0" * 100), ("huge number", b'{"hidden_size": 1' + b"0" * 400 + b"}")]:
        yield Case(name, auto, "config.json", prepare=text(content))


def weights(_):
    def changed(change):
        def prepare(folder):
            shutil.copytree(MODEL, folder / "hf")
            path = folder / "hf/model.safetensors"
            path.write_bytes(change(path.read_bytes()))
        return prepare
    load = ["train", "configs/base.yml", "run_name=run", "hardware=cpu", "model_name=auto", "load_parameters_path=@/hf",
            "dataset_type=synthetic", "steps=1", "max_target_length=16", "per_device_batch_size=1", "dtype=float32",
            "log_config=False"]
    header = lambda text: len(text).to_bytes(8, "little") + text
    for name, change in [("cut", lambda b: b[:-100]), ("half", lambda b: b[: len(b) // 2]), ("empty", lambda b: b""),
                         ("header of 2^63", lambda b: b"\xff" * 8 + b[8:]), ("no json", lambda b: header(b"{" * 50)),
                         ("deep", lambda b: header(b'{"a":' * 100000)), ("list", lambda b: header(b"[]" + b" " * 6)),
                         ("name changed", lambda b: b.replace(b"model.norm.weight", b"model.morn.weight")),
                         ("type changed", lambda b: b.replace(b'"F32"', b'"I32"', 1)),
                         ("longer", lambda b: b + b"x" * 64)]:
        yield Case(name, load, EXPECTED.get(name, "model.safetensors"), prepare=changed(change))


def tokenizers(_):
    def changed(change):
        def prepare(folder):
            shutil.copytree(TOKENIZER, folder / "tok")
            tokenizer = json.loads((folder / "tok/tokenizer.json").read_text())
            content = change(tokenizer)
            (folder / "tok/tokenizer.json").write_text(content if isinstance(content, str) else json.dumps(tokenizer))
        return prepare
    words = [w for w in TEXT if not w.startswith("tokenizer_path")] + ["tokenizer_path=@/tok",
                                                                      "dataset_path=tests/data/data/corpus.txt"]

    def pattern(regex):
        def change(t):
            t["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
        return change

    def nested(t):
        part = '{"type": "Sequence", "pretokenizers": [' * 100000 + "]}" * 100000
        return json.dumps({**t, "pre_tokenizer": "HERE"}).replace('"HERE"', part)
    for name, change in [("cut", lambda t: json.dumps(t)[:-100]), ("empty", lambda t: ""), ("list", lambda t: "[]"),
                         ("nested sequences", nested), ("no model", lambda t: t.pop("model") and None),
                         ("open group", pattern("(a")), ("deep groups", pattern("(" * 50000 + ")" * 50000)),
                         ("unknown model", lambda t: t["model"].update(type="Other")),
                         ("merge of nothing", lambda t: t["model"]["merges"].append(["@@@", "???"])),
                         ("id of 2^40", lambda t: t["model"]["vocab"].update({"zzzz": 1 << 40})),
                         ("negative id", lambda t: t["model"]["vocab"].update({"zzzz": -1}))]:
        yield Case(name, words, "tokenizer.json", prepare=changed(change))
    for name, regex in [("explosive", "(a*)*$"), ("explosive 2", "(x+x+)+y"), ("long", "a{1,1000}" * 1000)]:
        yield Case(name, words, None, prepare=changed(pattern(regex)))
    yield Case("folder without one", [*TEXT[:-1], "tokenizer_path=tests/data/data",
                                      "dataset_path=tests/data/data/corpus.txt"], "tokenizer")


def data(_):
    def text(name, content):
        def prepare(folder):
            (folder / name).write_bytes(content)
        return prepare
    good = b'{"text": "some words that make a row of tokens and then some more of them to be sure"}\n'
    for name, file, content, expect in [
            ("broken line", "d.jsonl", good + b'{"text": "cut', "d.jsonl"), ("no column", "d.jsonl", b'{"a": 1}\n', "text"),
            ("number as text", "d.jsonl", b'{"text": 1}\n', "text"), ("not UTF-8", "d.jsonl", b'{"text": "\xff"}\n', "d.jsonl"),
            ("deep", "d.jsonl", b'{"text": ' + b"[" * 100000 + b"\n", "d.jsonl"), ("empty", "d.jsonl", b"", "d.jsonl"),
            ("nul", "d.jsonl", b"\0" * 1000, "d.jsonl"), ("not UTF-8", "d.txt", b"\xff\xfe" * 1000, "d.txt"),
            ("empty", "d.txt", b"", "d.txt"), ("no parquet", "d.parquet", b"PAR1" + b"x" * 100 + b"PAR1", "d.parquet"),
            ("footer of 2^31", "d.parquet", b"PAR1" + b"\xff\xff\xff\x7fPAR1", "d.parquet"),
            ("other ending", "d.bin", b"x", "d.bin")]:
        yield Case(f"{file}: {name}", [*TEXT, f"dataset_path=@/{file}"], expect, prepare=text(file, content))
    yield Case("pipe", [*TEXT, "dataset_path=@/d.jsonl"], "d.jsonl", prepare=lambda f: os.mkfifo(f / "d.jsonl"))
    yield Case("device", [*TEXT, "dataset_path=/dev/zero"], "/dev/zero")
    yield Case("loop of links", [*TEXT, "dataset_path=@/a"], "", prepare=lambda f: os.symlink("a", f / "a"))
    yield Case("not there", [*TEXT, "dataset_path=gone.jsonl"], "gone.jsonl")
    yield Case("bucket", [*TEXT, "dataset_path=gs://no-such-bucket-of-fathom/x.jsonl"], "gs://", code=2)
    yield Case("empty folder", [*TEXT, "dataset_path=@/d"], "/d", prepare=lambda f: (f / "d").mkdir())
    for token in ("-1", str(1 << 31), str(1 << 32), str(1 << 40), "1.5", '"a"', "null"):
        yield Case(f"token {token}", [*TRAIN[:-1], "dataset_path=@/d.jsonl", "tokenize_train_data=False"], "d.jsonl",
                   prepare=text("d.jsonl", b'{"tokens": [' + token.encode() + b", 1, 2]}\n"))


def masks(_):
    for key in ("adamw_mask", "trainable_parameters_mask"):
        for name, pattern in [("open group", "(a"), ("nothing", "no_such_parameter"), ("explosive", "(a*)*b"),
                              ("deep", "(" * 50000 + ")" * 50000), ("bad repeat", "*a"), ("bad range", "[z-a]")]:
            expect = None if name == "explosive" else key
            yield Case(f"{key}: {name}", [*TRAIN, f"{key}=['{pattern}']"], expect)


def outputs(_):
    compile_words = ["train_compile", *TRAIN[1:], "--no_compile"]
    for name, path in [("folder", "@"), ("below a file", "configs/base.yml/x"), ("empty", ""), ("remote", "gs://b/x"),
                       ("loop", "@/loop"), ("too long", "@/" + "n" * 300)]:
        def prepare(folder):
            os.symlink("loop", folder / "loop")
        yield Case(f"--text: {name}", [*compile_words, f"--text={path}"], "text", prepare=prepare)
        if path:
            yield Case(f"metrics_file: {name}", [*TRAIN, f"metrics_file={path}"], "metrics_file", prepare=prepare)
    yield Case("base_output_directory: a file", [*TRAIN, "run_name=x", "base_output_directory=configs/base.yml"], "",
               code=0)  # the last one counts: the folder of the case
    yield Case("run_name too long", [*TRAIN, "run_name=" + "n" * 300], "")
    yield Case("--text: full device", [*compile_words, "--text=/dev/full"], "/dev/full", code=1)


def limits(_):
    yield Case("size of a file", TRAIN, "too large", code=1, limits=[(resource.RLIMIT_FSIZE, 100)])
    yield Case("stack of 64 kB", TRAIN, "ulimit -s", limits=[(resource.RLIMIT_STACK, 64 << 10)])
    yield Case("no home", TRAIN, (), code=0, environment={"HOME": ""})
    yield Case("XLA flag that is none", [*TRAIN, "compile_xla_flags=--xla_no_such_flag=1"], "compile_xla_flags")
    yield Case("XLA flag of no value", [*TRAIN, "compile_xla_flags=--xla_cpu_enable_fast_math=perhaps"],
               "compile_xla_flags")
    yield Case("no TPU", [*TRAIN, "hardware=tpu"], "hardware=tpu")
    yield Case("no such plugin", [*TRAIN, "plugin=gone.so"], "gone.so")
    yield Case("no plugin at all", [*TRAIN, "plugin=configs/base.yml"], "base.yml")
    yield Case("pipe as the cache", [*TRAIN, "jax_cache_dir=@/c"], (), code=0, prepare=lambda f: os.mkfifo(f / "c"))


KINDS = {"words": words, "yaml": yaml, "sizes": sizes, "config_json": config_json, "weights": weights,
         "tokenizers": tokenizers, "data": data, "masks": masks, "outputs": outputs, "limits": limits,
         "key_values": key_values}


def stop_at_moments(fathom, report):
    """Sends each signal after each of some pauses; returns (cases, faults)."""
    faults = cases = 0
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for pause in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2):
            cases += 1
            with tempfile.TemporaryDirectory() as name:
                out = pathlib.Path(name) / "out"
                process = subprocess.Popen([fathom, *TRAIN, "steps=100000", "jax_cache_dir=",
                                            f"base_output_directory={out}"], stdout=subprocess.DEVNULL,
                                           stderr=subprocess.PIPE, text=True)
                time.sleep(pause)
                process.send_signal(sent)
                try:
                    said = process.communicate(timeout=LIMIT)[1]
                except subprocess.TimeoutExpired:
                    process.kill()
                    said = "hang"
                if process.returncode != 128 + sent or "stop" not in said:
                    # Before the program's own first line the signal may find none of its handlers yet.
                    if pause <= 0.02 and process.returncode == -sent:
                        continue
                    faults += 1
                    report(f"signals: {sent.name} after {pause} s: exit {process.returncode}: {said[-200:]}")
    return cases, faults


def main(args):
    fathom = str(pathlib.Path(args[0]).absolute())
    chosen = args[1:] or [*KINDS, "signals"]
    lines = []
    print("| kind | inputs | crashes | hangs | silent or wrong words |\n|---|---|---|---|---|")
    for kind in chosen:
        counts = {"crash": 0, "hang": 0, "other": 0}
        total = 0
        if kind == "signals":
            total, counts["other"] = stop_at_moments(fathom, lines.append)
        else:
            for case in KINDS[kind](fathom):
                total += 1
                with tempfile.TemporaryDirectory() as name:
                    wrong = run(fathom, case, pathlib.Path(name))
                if wrong:
                    first = wrong.split(":")[0]
                    counts[first if first in counts else "other"] += 1
                    lines.append(f"{kind}: {case.name}: {wrong}")
        print(f"| {kind} | {total} | {counts['crash']} | {counts['hang']} | {counts['other']} |", flush=True)
    print("\n".join(lines))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
