#!/usr/bin/env python3
"""Writes unicode_tables.inc: the general category of every code point in Unicode 16.

Run it again only to move to another version of Unicode:

    python3 -m venv env && env/bin/pip install unicodedata2==16.0.0
    env/bin/python src/tokenizer/make_unicode_tables.py
"""

import pathlib

import unicodedata2

VERSION = "16.0.0"
# The order of kCategoryNames in unicode.cc.
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
PER_LINE = 10


def runs():
    """Yields (first code point, category number) of each longest stretch of one category."""
    last = None
    for code_point in range(0x110000):
        category = unicodedata2.category(chr(code_point))
        if category != last:
            yield code_point, CATEGORIES.index(category)
            last = category


def main():
    if unicodedata2.unidata_version != VERSION:
        raise SystemExit(f"unicodedata2 has Unicode {unicodedata2.unidata_version}, wanted {VERSION}")
    words = [f"0x{first << 5 | category:07x}" for first, category in runs()]
    lines = [
        f"// Made by make_unicode_tables.py from the Unicode Character Database {VERSION}. Do not edit.",
        "// Each word: first code point of a run << 5 | general category of the run.",
        f"inline constexpr uint32_t kCategoryRuns[{len(words)}] = {{",
    ]
    for start in range(0, len(words), PER_LINE):
        lines.append("    " + ", ".join(words[start : start + PER_LINE]) + ",")
    lines.append("};")
    out = pathlib.Path(__file__).with_name("unicode_tables.inc")
    out.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
