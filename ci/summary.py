"""Sums the cases of Meson's junit files and prints, last, `N passed, N failed, N skipped`.
Before it: the cases that were skipped, the golden tests' "ran N tensors in N cases of FAMILY" with the program that says
so and their total, the programs that took longest, and, nearest to the end of a log, every failed case with what its
program said about it.

usage: summary.py STEPS FILE...    STEPS: the steps outside of the tests that failed, or '' (counted as one failed case).
A test program without a single case, or one that crashed, counts as failed."""
import re
import sys
import xml.etree.ElementTree as tree

SLOWEST = 12
LINES = 12  # of a failed program's output


def said_of(suite, case):
    """The lines of a failed program's output that matter: the case's `not ok` with what follows, or else its end."""
    lines = ((suite.findtext("system-out") or "") + (suite.findtext("system-err") or "")).splitlines()
    number = (case.get("name") or "").split(" ")[0]
    for at, line in enumerate(lines):
        if re.match(rf"not ok {re.escape(number)}\b", line):
            return lines[max(0, at - LINES // 2) : at + LINES // 2]
    return lines[-LINES:]


def main(steps, files):
    passed = 0
    failures, skipped, programs = [], [], []
    golden = [0, 0]  # tensors, cases
    for name in files:
        build = name.split("/")[0]
        for suite in tree.parse(name).getroot().iter("testsuite"):
            cases = list(suite.iter("testcase"))
            program = suite.get("name").split(":")[-1]
            programs.append((float(suite.get("time") or 0), f"{build}: {program}"))
            if not cases:
                failures.append((f"{build}: {program}: no case", []))
            for case in cases:
                if case.find("failure") is not None or case.find("error") is not None:
                    failures.append((f"{build}: {program}: {case.get('name')}", said_of(suite, case)))
                elif case.find("skipped") is not None:
                    skipped.append(f"{program}: {case.get('name')}")
                else:
                    passed += 1
            for said in re.finditer(r"^# (ran (\d+) tensors in (\d+) cases of \w+)$", suite.findtext("system-out", ""), re.M):
                print(f"{program.split(' / ')[-1]}: {said[1]}")
                golden = [golden[0] + int(said[2]), golden[1] + int(said[3])]
    if any(golden):
        print(f"golden: ran {golden[0]} tensors in {golden[1]} cases")
    for line in skipped:
        print(f"skipped: {line}")
    slowest = sorted(programs, reverse=True)[:SLOWEST]
    print(f"seconds of all programs: {sum(s for s, _ in programs):.0f}; " + ", ".join(f"{p} {s:.0f}" for s, p in slowest))
    told = {f"tests of {title.split(':')[0]}" for title, _ in failures}
    untold = [step for step in steps.split(", ") if step and step not in told]
    if untold:
        failures.append((", ".join(untold) + "; see above", []))
    for title, lines in failures:
        print("\n".join([f"failed: {title}"] + [f"    {line}" for line in lines]))
    print(f"{passed} passed, {len(failures)} failed, {len(skipped)} skipped")
    return 1 if failures or passed == 0 else 0


sys.exit(main(sys.argv[1], sys.argv[2:]))
