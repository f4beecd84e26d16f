"""Judges one Autobahn report: judge.py RUN index.json; exit status 1 names what is wrong.

A case is fine when behaviour and closing are; a non-strict one only when it is pinned here, and a pinned one that
became strict must leave the list, so the list is always what the server does.
"""

import collections
import json
import sys

# None today. What comes here says why it is tolerated.
NON_STRICT = {
    "quick": set(),
    "full": set(),
    "compression": set(),
}
CASES_MIN = {"quick": 240, "full": 290, "compression": 2}
FINE = {"OK", "INFORMATIONAL"}


def order(case):
    return [int(part) for part in case.split(".")]


def main(run, path):
    with open(path, encoding="utf-8") as report:
        cases = next(iter(json.load(report).values()), {})
    wrong, non_strict = [], set()
    for case, result in cases.items():
        behavior, close = result["behavior"], result["behaviorClose"]
        if run == "compression":
            # Compression is not negotiated, so Autobahn must find it missing rather than broken.
            if behavior != "UNIMPLEMENTED":
                wrong.append((case, f"is {behavior}, should be UNIMPLEMENTED"))
        elif behavior == "NON-STRICT" and close in FINE:
            non_strict.add(case)
        elif behavior not in FINE or close not in FINE:
            wrong.append((case, f"failed: {behavior}, close {close}, code {result.get('remoteCloseCode')}"))
    wrong += [(case, "is newly non-strict") for case in non_strict - NON_STRICT[run]]
    wrong += [(case, "is strict now: take it from the list in judge.py") for case in NON_STRICT[run] - non_strict]
    if len(cases) < CASES_MIN[run]:
        wrong.append(("0", f"only {len(cases)} cases ran, should be at least {CASES_MIN[run]}"))

    counts = collections.Counter(result["behavior"] for result in cases.values())
    print(f"conformance: {run}: {len(cases)} cases, " + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
    for case, text in sorted(wrong, key=lambda row: order(row[0])):
        print(f"conformance: {run}: case {case} {text}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
