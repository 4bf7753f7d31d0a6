"""Sums the cases of Meson's junit files and prints, last, `N passed, N failed, N skipped`.
Before it, the golden tests' "ran N tensors in N cases of FAMILY" with the program that says so, and their total.

usage: summary.py STATUS FILE...    STATUS: 1 where a step outside the tests failed (counted as one failed case).
A test program without a single case, or one that crashed, counts as failed."""
import re
import sys
import xml.etree.ElementTree as tree


def main(status, files):
    passed = failed = skipped = 0
    golden = [0, 0]  # tensors, cases
    for name in files:
        for suite in tree.parse(name).getroot().iter("testsuite"):
            cases = list(suite.iter("testcase"))
            if not cases:
                print(f"no case: {suite.get('name')} ({name})")
                failed += 1
            for case in cases:
                if case.find("failure") is not None or case.find("error") is not None:
                    print(f"failed: {suite.get('name')}: {case.get('name')}")
                    failed += 1
                elif case.find("skipped") is not None:
                    print(f"skipped: {suite.get('name')}: {case.get('name')}")
                    skipped += 1
                else:
                    passed += 1
            for said in re.finditer(r"^# (ran (\d+) tensors in (\d+) cases of \w+)$", suite.findtext("system-out", ""), re.M):
                print(f"{suite.get('name').split(' / ')[-1]}: {said[1]}")
                golden = [golden[0] + int(said[2]), golden[1] + int(said[3])]
    if any(golden):
        print(f"golden: ran {golden[0]} tensors in {golden[1]} cases")
    if status and not failed:
        print("failed: a step outside the tests; see above")
        failed = 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or passed == 0 else 0


sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
