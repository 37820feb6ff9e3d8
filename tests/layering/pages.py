"""Checks the pages (*.md) outside tests/data: lines of at most 120 columns, tables apart, and links that lead to a file
and, behind a `#`, to a heading of it. The sources that ARCHITECTURE.md names must be there, and those of its reading
order have no more lines than it says.

Usage: pages.py [ROOT]. Prints `path:line: what is wrong` for each breach; exit 1 if there is one.
"""
import pathlib
import re
import sys

COLUMNS = 120
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SOURCE = re.compile(r"`((?:[\w-]+/)+[\w-]+\.(?:cc|h|py))`")
READING_ORDER = re.compile(r"^Reading order \(([\d,]+) lines\):(.*?)\n\n", re.MULTILINE | re.DOTALL)
FOREIGN = ("pjrt", "xla/", "arrow/", "nlohmann/")  # headers of packages
SKIPPED = {"build", ".venv", ".venv-orbax", ".venv-buckets", "peers-env", ".git", "data"}


def anchors(page):
    """What links call the headings of a page, as GitHub does."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in HEADING.findall(page.read_text(encoding="utf-8"))}


def leads_nowhere(page, target, anchor):
    file = page.parent / target if target else page
    return not file.exists() or bool(anchor) and anchor not in anchors(file)


def breaches(root):
    for page in sorted(root.rglob("*.md")):
        name = page.relative_to(root)
        if SKIPPED & set(name.parts):
            continue
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            if len(line) > COLUMNS and not line.startswith("|"):
                yield f"{name}:{number}: {len(line)} columns"
            for target, anchor in LINK.findall(line):
                if "://" not in target and leads_nowhere(page, target, anchor):
                    yield f"{name}:{number}: {target}{anchor and '#' + anchor} is not there"


def architecture_breaches(root):
    name = "ARCHITECTURE.md"
    text = (root / name).read_text(encoding="utf-8")
    gone = [path for path in sorted(set(SOURCE.findall(text)))
            if not path.startswith(FOREIGN) and not (root / path).exists() and not (root / "src" / path).exists()]
    yield from (f"{name}: {path} is not there" for path in gone)
    order = READING_ORDER.search(text)
    if not order:
        yield f"{name}: the paragraph `Reading order (N lines): ...` is not there"
        return
    said = int(order[1].replace(",", ""))
    lines = sum(len((root / path).read_text(encoding="utf-8").splitlines())
                for path in SOURCE.findall(order[2]) if path not in gone)
    if lines > said:
        yield f"{name}: the reading order has {lines} lines, not {said}"


def main(args):
    root = pathlib.Path(args[0] if args else ".")
    found = [*breaches(root), *architecture_breaches(root)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
