#!/usr/bin/env python3
"""Golden logits of a model, computed by Hugging Face's transformers: what `fathom forward_pass_logit_checker` reads.

`fathom generate_hf_golden_logits` runs this. Each prompt is encoded by the model's tokenizer, with its begin of
sentence, and goes through the model alone. One JSON object a line: prompt, tokens, logits [tokens][vocabulary]. Needs
torch and transformers; without them it says how to install them and ends with exit code 2.
"""
import argparse
import contextlib
import json
import os
import pickle
import sys


def parse_arguments(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-id", required=True, help="folder with tokenizer, config and weights")
    parser.add_argument("--hf-model-path", help="folder with config and weights, where they are not in --model-id")
    parser.add_argument("--output-path", required=True, help="file to write")
    parser.add_argument("--prompts", required=True, help="'a;b;c'")
    parser.add_argument("--hf-load-dtype", choices=["float32", "bfloat16", "auto"], default="float32")
    parser.add_argument("--output-format", choices=["json", "pickle"], default="json")
    parser.add_argument("--trust-remote-code", action="store_true", help="run model code that the folder brings")
    parser.add_argument("--apply-chat-template", action="store_true", help="each prompt is the user's turn of a chat")
    return parser.parse_args(words)


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(2)


def libraries():
    # Nothing is fetched: what the folders lack is an error.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    missing = []
    for name in ("torch", "transformers"):
        try:
            __import__(name)
        except ImportError as e:
            missing.append(f"{name} ({e})")
    if missing:
        fail(f"not there for {sys.executable}: {', '.join(missing)}; install with\n"
             f"{sys.executable} -m pip install torch transformers")
    return sys.modules["torch"], sys.modules["transformers"]


def load_model(torch, transformers, args):
    folder = args.hf_model_path or args.model_id
    dtype = args.hf_load_dtype if args.hf_load_dtype == "auto" else getattr(torch, args.hf_load_dtype)
    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    name = "dtype" if version >= (4, 56) else "torch_dtype"
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=args.trust_remote_code, output_loading_info=True, **{name: dtype})
    # transformers would draw them at random and only warn.
    if loading["missing_keys"] or loading["mismatched_keys"]:
        fail(f"{folder}: weights that are missing or of another shape: "
             f"{sorted(loading['missing_keys'])} {loading['mismatched_keys']}")
    return model.eval()


def begin_of_sentence(transformers, tokenizer, args):
    """The tokens in front of every text. transformers 5 forgets add_bos_token of byte-level tokenizers, as DeepSeek's
    are, so that the file itself is asked."""
    path = transformers.utils.cached_file(args.model_id, "tokenizer_config.json")
    with open(path, encoding="utf-8") as file:
        return [tokenizer.bos_token_id] if json.load(file).get("add_bos_token") else []


def encode(tokenizer, prompt, begin, args):
    """The text that is encoded, and its tokens."""
    if not args.apply_chat_template:
        tokens = tokenizer.encode(prompt)
        return prompt, tokens if tokens[:1] == begin else begin + tokens
    text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False,
                                         add_generation_prompt=True)
    # The template has the special tokens in it.
    return text, tokenizer.encode(text, add_special_tokens=False)


def records(torch, transformers, args):
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model_id, trust_remote_code=args.trust_remote_code)
    begin = begin_of_sentence(transformers, tokenizer, args)
    model = load_model(torch, transformers, args)
    for number, prompt in enumerate(args.prompts.split(";")):
        text, tokens = encode(tokenizer, prompt, begin, args)
        if not tokens:
            fail(f"--prompts: prompt {number}, {prompt!r}, has no tokens")
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0].float().numpy()
        print(f"prompt {number}: {len(tokens)} tokens, logits {list(logits.shape)}", file=sys.stderr)
        record = {"prompt": prompt, "tokens": tokens, "logits": logits}
        if text != prompt:
            record["formatted_prompt"] = text
        yield record


def number(x):
    """The shortest decimals that give the float32 back; NaN and infinities as json.dumps writes them."""
    text = str(x)
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)


def line_of(record):
    fields = [f"{json.dumps(key)}: {json.dumps(record[key], ensure_ascii=False)}" for key in record if key != "logits"]
    rows = ", ".join(f"[{','.join(map(number, row))}]" for row in record["logits"])
    return f"{{{', '.join(fields)}, \"logits\": [{rows}]}}\n"


def write(path, made, args):
    # Another name until it is whole.
    partial = f"{path}.partial"
    try:
        if args.output_format == "pickle":
            with open(partial, "wb") as file:
                pickle.dump(list(made), file)
        else:
            with open(partial, "w", encoding="utf-8") as file:
                for record in made:
                    file.write(line_of(record))
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(partial)
        raise


def main(words):
    args = parse_arguments(words)
    torch, transformers = libraries()
    os.makedirs(os.path.dirname(os.path.abspath(args.output_path)), exist_ok=True)
    write(args.output_path, records(torch, transformers, args), args)
    print(f"File is stored locally at {args.output_path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
