"""Sums the cases of Meson's junit files and prints, last, `N passed, N failed, N skipped`.

usage: summary.py STATUS FILE...    STATUS: 1 where a step outside the tests failed (counted as one failed case).
A test program without a single case, or one that crashed, counts as failed."""
import sys
import xml.etree.ElementTree as tree


def main(status, files):
    passed = failed = skipped = 0
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
    if status and not failed:
        print("failed: a step outside the tests; see above")
        failed = 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or passed == 0 else 0


sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
