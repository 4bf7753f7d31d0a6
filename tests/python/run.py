"""Runs the unittest cases beside this file and tells TAP. Arguments: names to run alone (test_hct.Tensors)."""
import pathlib
import sys
import unittest


class Tap(unittest.TestResult):
    count = 0

    def tell(self, test, ok, why="", skip=""):
        self.count += 1
        name = test.shortDescription() or getattr(test, "_testMethodName", str(test)).replace("test_", "").replace("_", " ")
        print(f"{'ok' if ok else 'not ok'} {self.count} - {name}{' # SKIP ' + skip if skip else ''}", flush=True)
        for line in why.splitlines():
            print(f"# {line}", flush=True)

    def addSuccess(self, test):
        self.tell(test, True)

    def addSkip(self, test, reason):
        self.tell(test, True, skip=reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.tell(test, False, self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.tell(test, False, self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.tell(subtest, False, (self.failures + self.errors)[-1][1])


here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here))
load = unittest.defaultTestLoader
suite = load.loadTestsFromNames(sys.argv[1:]) if sys.argv[1:] else load.discover(str(here))
result = Tap()
suite.run(result)
print(f"1..{result.count}")
sys.exit(not result.wasSuccessful() or not result.count)
