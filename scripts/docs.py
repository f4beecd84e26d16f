"""Checks the documents against the code; with --write, writes the generated parts instead.

The close codes in docs/protocol.md are those of crates/protocol/src/close.rs, and links to files lead somewhere.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
SOURCE = ROOT / "crates/protocol/src/close.rs"
PROTOCOL = ROOT / "docs/protocol.md"
BEGIN, END = "<!-- close codes: written by `make gen` -->\n", "<!-- end of close codes -->\n"


def close_codes():
    table = re.search(r"^close_codes! \{\n(.*?)^\}", SOURCE.read_text(encoding="utf-8"), re.M | re.S)[1]
    rows = ["| code | reason on the wire | when |\n", "|---|---|---|\n"]
    for docs, code, reason in re.findall(r'((?:\s*///[^\n]*\n)+)\s*\w+ = (\d+), "([^"]*)";', table):
        when = " ".join(line.strip().removeprefix("///").strip() for line in docs.strip().splitlines())
        rows.append(f"| {code} | {reason} | {when} |\n")
    declared = len(re.findall(r"^\s*[A-Z_0-9]+ = \d+,", table, re.M))
    if declared < 10 or declared != len(rows) - 2:
        sys.exit(f"docs: read {len(rows) - 2} of {declared} close codes from {SOURCE.name}")
    return "".join(rows)


def broken_links():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                yield f"{page.relative_to(ROOT)} links to {target}, which is not there"


def main():
    text = PROTOCOL.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    fresh = head + BEGIN + close_codes() + END + tail
    if "--write" in sys.argv[1:]:
        PROTOCOL.write_text(fresh, encoding="utf-8")
        return 0
    wrong = list(broken_links())
    if fresh != text:
        wrong.append("docs/protocol.md: the close codes differ from crates/protocol/src/close.rs; run: make gen")
    for line in wrong:
        print(f"docs: {line}")
    if not wrong:
        print("docs: links lead somewhere, close codes are those of the code")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
