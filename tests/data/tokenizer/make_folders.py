#!/usr/bin/env python3
"""Writes folders.jsonl: files beside the small tokenizer.json, with what transformers 5.23 makes of the folder.

    python tests/data/tokenizer/make_folders.py      (needs transformers)

A line: `name`; `added`, rows at the end of tokenizer.json's added_tokens; `vocab`, entries added to its vocabulary;
`files`, the text of the others by their names; `rows` as in encode.jsonl; `ids` of the named tokens.
"""

import json
import pathlib
import tempfile

from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
TEXTS = ["a <zz> b<yy>", "x<xx>he hello", " w a b [PAD]", "<zz><yy>  <xx>[PAD] hehe"]
CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"


def token(content, *flags, **more):
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return dict({"content": content}, **{name: name in flags for name in names}, **more)


def named(content, *flags):
    out = token(content, *flags, __type="AddedToken")
    del out["special"]
    return out


FOLDERS = {
    "the_last_flags_count": {"added": [token("<zz>", id=1785), token("<zz>", "lstrip", "special", id=1785)]},
    "a_token_once_special_stays_so": {"added": [token("<zz>", "special", id=1785), token("<zz>", "rstrip", id=1785)]},
    "ids_are_given_in_turn": {"added": [token("<zz>", id=1900), token("", id=1785), token("<yy>", id=1900)]},
    "a_vocabulary_with_a_hole": {
        "vocab": {"<zz>": 1900},
        "added": [token("<yy>", id=1785), token("<zz>", id=1785), token("<xx>", id=1786)],
        "files": {CONFIG: {"pad_token": "[PAD]"}},
    },
    "the_map_goes_before_the_config": {
        "files": {
            CONFIG: {"pad_token": "<zz>", "bos_token": "he"},
            MAP: {"pad_token": "<yy>", "eos_token": token("<xx>", "lstrip")},
        }
    },
    "a_decoder_replaces_map_and_added_tokens": {
        "files": {
            CONFIG: {
                "added_tokens_decoder": {"1790": token("<zz>"), "1785": token("<yy>", "special")},
                "pad_token": "<zz>",
            },
            MAP: {"bos_token": "<xx>"},
            ADDED: {"<xx>": 1787},
        }
    },
    "of_one_id_the_last_text_is_added": {"files": {CONFIG: {"pad_token": "<xx>"}, ADDED: {"<zz>": 1800, "<xx>": 1800}}},
    "later_names_override_flags": {
        "files": {
            CONFIG: {"bos_token": named("he", "single_word"), "pad_token": named("he", "rstrip"), "mask_token": "<zz>"}
        }
    },
    "lists_of_special_tokens": {
        "files": {
            CONFIG: {"additional_special_tokens": ["<zz>", "<xx>"]},
            MAP: {"additional_special_tokens": ["[PAD]"]},
        }
    },
    "a_list_of_a_map": {
        "files": {MAP: {"additional_special_tokens": ["<yy>"], "unk_token": "<zz>"}, ADDED: {"<yy>": 1786}}
    },
    "a_token_of_one_model": {"files": {CONFIG: {"image_token": "<zz>", "extra_special_tokens": ["<yy>"]}}},
}


def line(name, folder):
    file = json.loads((HERE / "tokenizer.json").read_text())
    file["added_tokens"] += folder.get("added", [])
    file["model"]["vocab"].update(folder.get("vocab", {}))
    files = {beside: json.dumps(content) for beside, content in folder.get("files", {}).items()}
    with tempfile.TemporaryDirectory() as path:
        pathlib.Path(path, "tokenizer.json").write_text(json.dumps(file))
        for beside, content in files.items():
            pathlib.Path(path, beside).write_text(content)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        decoded, skipped = (tokenizer._tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))
        rows.append({"text": text, "ids": ids, "decoded": decoded, "decoded_skip_special": skipped})
    ids = {key: getattr(tokenizer, f"{key}_token_id") for key in ("bos", "eos", "pad", "unk")}
    return json.dumps(dict({"name": name, **folder, "files": files, "rows": rows, "ids": ids}))


if __name__ == "__main__":
    (HERE / "folders.jsonl").write_text("".join(line(*item) + "\n" for item in FOLDERS.items()))
