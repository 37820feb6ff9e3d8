#!/usr/bin/env python3
"""Writes case_tables.inc: the letter cases of Unicode as Python's str.upper, lower and title have them.

Run it again only to move to another version of Unicode, with a Python of that version:

    python3 src/chat/make_case_tables.py
"""

import pathlib
import unicodedata

MAPPINGS = {"Upper": str.upper, "Lower": str.lower, "Title": str.title}
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def runs(mapping):
    """[first, last, stride, difference] of code points with one code point in the other case."""
    out = []
    for code_point in CODE_POINTS:
        mapped = mapping(chr(code_point))
        if len(mapped) != 1 or ord(mapped) == code_point:
            continue
        difference = ord(mapped) - code_point
        if out and out[-1][3] == difference:
            first, last, stride, _ = out[-1]
            step = code_point - last
            if step == stride or (first == last and step <= 2):
                out[-1] = [first, code_point, step, difference]
                continue
        out.append([code_point, code_point, 1, difference])
    return out


def long_ones(mapping):
    """[code point, and up to three of the other case]"""
    for code_point in CODE_POINTS:
        mapped = mapping(chr(code_point))
        if len(mapped) > 1:
            yield [code_point, *map(ord, mapped), 0][:4] if len(mapped) == 2 else [code_point, *map(ord, mapped)]


def cased_ranges():
    out = []
    for code_point in CODE_POINTS:
        c = chr(code_point)
        if not (c.isupper() or c.islower() or c.istitle()):
            continue
        if out and out[-1][1] == code_point - 1:
            out[-1][1] = code_point
        else:
            out.append([code_point, code_point])
    return out


def table(kind, name, rows, per_line):
    rows = ["{" + ", ".join(hex(v) if v > 9 else str(v) for v in row) + "}" for row in rows]
    lines = [f"inline constexpr {kind} {name}[{len(rows)}] = {{"]
    for start in range(0, len(rows), per_line):
        lines.append("    " + ", ".join(rows[start : start + per_line]) + ",")
    return lines + ["};"]


def main():
    version = unicodedata.unidata_version
    lines = [f"// Made by make_case_tables.py from the Unicode Character Database {version}. Do not edit."]
    for name, mapping in MAPPINGS.items():
        lines += table("CaseRun", f"k{name}Runs", runs(mapping), 4)
        lines += table("LongCase", f"k{name}Long", long_ones(mapping), 3)
    lines += table("CasedRange", "kCased", cased_ranges(), 5)
    out = pathlib.Path(__file__).with_name("case_tables.inc")
    out.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
