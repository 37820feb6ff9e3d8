"""Checks every #include of src/ against the tables of ARCHITECTURE.md, and the length and leftovers of each file.

Usage: layering.py [ROOT]. Prints `path:line: what is wrong` for each breach; exit 1 if there is one, 2 if a table cannot
be read.
"""
import pathlib
import re
import sys

MAX_LINES = 600
TEST_ENDINGS = ("_test.cc", "_testing.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
LEFTOVER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")  # split, so that this file is clean itself


class TableError(Exception):
    """ARCHITECTURE.md is not as this check reads it."""


class Rules:
    """The two tables of ARCHITECTURE.md.

    folders: for each folder its closure, the set of folders and single headers that it may include.
    foreign: (prefix of a foreign header, folders that may see it or None for all, whether it is heavy).
    """

    def __init__(self, page: str):
        direct = {}
        for number, cells in table(page, "folder", 3):
            folder = names(cells[0], number)[0].removeprefix("src/").rstrip("/")
            direct[folder] = None if cells[2] == "everything" else allowed(cells[2])
        for folder, others in direct.items():
            for other in others or ():
                if other not in direct and not other.endswith(".h"):
                    raise TableError(f"ARCHITECTURE.md: the row of {folder} names '{other}', which has no row itself")
        self.folders = {folder: closure(folder, direct) for folder in direct}
        self.foreign = []
        for number, cells in table(page, "foreign headers", 2):
            only = None if cells[1] == "everything" else set(allowed(cells[1]))
            self.foreign += [(prefix, only, "(heavy)" in cells[0]) for prefix in names(cells[0], number)]

    def folder_of(self, path: str):
        """The row that a path below src/ belongs to: its longest prefix; None without one."""
        parts = path.split("/")[:-1]
        while parts and "/".join(parts) not in self.folders:
            parts.pop()
        return "/".join(parts) or None


def table(page: str, first_heading: str, columns: int):
    """The rows (line number, cells) of the table whose first heading is `first_heading`."""
    rows = []
    inside = False
    for number, line in enumerate(page.splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells[0] == first_heading:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not set(line) <= set("|-: "):
            if len(cells) != columns:
                raise TableError(f"ARCHITECTURE.md:{number}: {len(cells)} cells where the table has {columns}")
            rows.append((number, cells))
    if not rows:
        raise TableError(f"ARCHITECTURE.md has no table that begins with '| {first_heading} |'")
    return rows


def names(cell: str, number: int):
    """The names in backticks of a cell."""
    found = re.findall(r"`([^`]+)`", cell)
    if not found:
        raise TableError(f"ARCHITECTURE.md:{number}: no name in backticks in '{cell}'")
    return found


def allowed(cell: str):
    """The folders and headers of a `may include` cell."""
    return [] if cell == "nothing of ours" else [name.strip() for name in cell.split(",")]


def closure(folder: str, direct: dict):
    """`folder` and all that it may include, by any number of steps."""
    if direct[folder] is None:
        return set(direct)
    reached, todo = set(), [folder]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += direct.get(name) or []
    return reached


def include_breach(rules: Rules, file: str, bracket: str, included: str):
    """What is wrong with `file` (below src/) including `included`, or None."""
    if file.endswith(TEST_ENDINGS):
        return None
    folder = rules.folder_of(file)
    for prefix, only, heavy in rules.foreign:
        if included == prefix or (prefix.endswith("/") and included.startswith(prefix)):
            if only is not None and folder not in only:
                return f"{folder} may not include {included}: only {', '.join(sorted(only))} may"
            if heavy and file.endswith(".h"):
                return f"{included} is heavy: include it in a .cc file, not in a header"
            return None
    if bracket == "<":
        return None
    target = rules.folder_of(included)
    if target is None:
        return f'"{included}" does not begin with a folder of src/'
    if included.endswith(TEST_ENDINGS):
        return f"{included} is for tests alone"
    if target in rules.folders[folder] or included in rules.folders[folder]:
        return None
    allowed_here = ", ".join(sorted(rules.folders[folder]))
    return f"{folder} may not include {included}: its row in ARCHITECTURE.md allows {allowed_here}"


def breaches(root: pathlib.Path):
    """All breaches below root/src, as `path:line: text`."""
    rules = Rules((root / "ARCHITECTURE.md").read_text())
    found = []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in (".cc", ".h"):
            continue
        file = path.relative_to(root / "src").as_posix()
        if rules.folder_of(file) is None:
            found.append(f"src/{file}:1: its folder has no row in ARCHITECTURE.md")
            continue
        lines = path.read_text().splitlines()
        if len(lines) > MAX_LINES:
            found.append(f"src/{file}:{MAX_LINES + 1}: {len(lines)} lines; a file has at most {MAX_LINES}")
        for number, line in enumerate(lines, 1):
            if leftover := LEFTOVER.search(line):
                found.append(f"src/{file}:{number}: {leftover[0]} left behind: do it or leave it out")
            include = INCLUDE.match(line)
            if include and (text := include_breach(rules, file, *include.groups())):
                found.append(f"src/{file}:{number}: {text}")
    return found


def main(arguments):
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parents[2]
    try:
        found = breaches(root)
    except TableError as error:
        print(error)
        return 2
    print("\n".join(found) if found else "layering: every include, length and comment is within the rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
