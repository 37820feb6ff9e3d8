#!/usr/bin/env python3
"""Writes variants.jsonl: pre-tokenizers and flags that the small tokenizer does not use, with ids from tokenizers 0.23.3.

    .venv/bin/python tests/data/tokenizer/make_variants.py

A line: `name`; `patch`, an RFC 7386 merge patch to tokenizer.json; `keep_merges`, every how many-th merge stays; `rows` as
in encode.jsonl.
"""

import json
import pathlib
import random

from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def split(pattern, kind="Regex", invert=False):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": "Isolated", "invert": invert}


PRE_TOKENIZERS = {
    # The steps of DeepSeek-V2 (its letters shortened).
    "deepseek_v2": [
        split("[\r\n]"),
        split("\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ𐐀-𐑏𞤀-𞥃]+"),
        split("\\s?[!-/:-~！-／：-～‘-‟　-。]+"),
        split("\\s+$"),
        split("[一-龥ࠀ-一가-퟿]+"),
        {"type": "Digits", "individual_digits": True},
        BYTE_LEVEL,
    ],
    "contractions": [
        split(
            CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
        BYTE_LEVEL,
    ],
    "upper_lower": [
        split(
            rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
        BYTE_LEVEL,
    ],
    "byte_level_regex": [dict(BYTE_LEVEL, use_regex=True, add_prefix_space=True)],
    "literal": [
        split("a.b ", "String", invert=True),
        {"type": "Digits", "individual_digits": False},
        dict(BYTE_LEVEL, add_prefix_space=True),
    ],
    "every_construct": [
        split(
            r"(?:ab|a(?=b)|[^\P{L}a-c]{2,3}|x(?:y|z){1,3}z|\x{41}\u0042?|\p{^Lu}\d{2}|(?:q?r){2}|\$|b$)",
        ),
        BYTE_LEVEL,
    ],
}
PIECES = (
    "'s 'S 'ſ 'LL a b ab xyz xyyz A AB É ß 1 12 12345 ٣ ½ 中文 あ カ ! ?! … 😀 \u200d \u0301 <A> <AB> zz $ q r qr _ é Ⓐ \u0903 "
    "𐐀 𝟘 \U0001fae9 \U00010d4a \u1c89 ǅ ʰ <｜User｜> <think> <｜end▁of▁sentence｜> Ġ ĀĀ"
).split(" ") + [" ", "  ", "\n", "\r\n", "\t", "\u3000", "\xa0", "\x85", "a.b ", "ab c"]


def added_tokens(base):
    """The tokens of the file and some with every flag; those in the vocabulary keep their ids."""
    flags = [
        {"lstrip": True},
        {"rstrip": True},
        {"single_word": True},
        {"lstrip": True, "rstrip": True, "single_word": True},
        {},
    ]
    tokens = list(base["added_tokens"])
    next_id = max(token["id"] for token in tokens) + 1
    for i, content in enumerate(["<A>", "<AB>", "zz", "ab c", "q", "é", " 12", "Ġ", "ĀĀ", "_"]):
        token_id = base["model"]["vocab"].get(content, next_id)
        next_id += token_id == next_id
        token = {"id": token_id, "content": content, "single_word": False, "lstrip": False, "rstrip": False}
        tokens.append({**token, "normalized": i % 2 == 0, "special": i % 3 == 0, **flags[i % 5]})
    return tokens


def row(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    decoded = [tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
    return {"text": text, "ids": ids, "decoded": decoded[0], "decoded_skip_special": decoded[1]}


def main():
    random.seed(5)
    base = json.loads((HERE / "tokenizer.json").read_text(encoding="utf-8"))
    variants = []
    for name, steps in PRE_TOKENIZERS.items():
        variants.append((name, {"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}, 1))
    variants.append(("flags", {"added_tokens": added_tokens(base)}, 1))
    variants.append(("ignore_merges", {"model": {"ignore_merges": True}}, 3))
    with open(HERE / "variants.jsonl", "w", encoding="ascii") as out:
        for name, patch, keep in variants:
            full = {**base, **patch, "model": {**base["model"], **patch.get("model", {})}}
            full["model"]["merges"] = base["model"]["merges"][::keep]
            tokenizer = Tokenizer.from_str(json.dumps(full))
            texts = ["".join(random.choices(PIECES, k=random.randint(4, 24))) for _ in range(60)]
            texts += ["They're HERE'S x'ſ y'LL", "The quick brown fox", "a" * 300, " " * 90 + "b"]
            rows = [row(tokenizer, text) for text in texts]
            out.write(json.dumps({"name": name, "patch": patch, "keep_merges": keep, "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
