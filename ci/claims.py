"""Macro AUCs of runs with several draws of the labelled patients, and whether one arm is better than another: what ci/demo-claims and ci/study-table share.

Test scans are resampled, the same in both arms and in all draws; p is the share of resamples that leave the first arm's mean over draws at or below the second's (one-sided,
paired over scans and draws).
"""
import csv
import random

RESAMPLES = 1000


def predictions(path, split="test"):
    """{task: [(scan, score, label)]} of a predictions.csv, lowest score first."""
    with open(path, newline="") as f:
        rows = [row for row in csv.DictReader(f) if row["split"] == split]
    tasks = [k[2:] for k in rows[0] if k.startswith("y_")] if rows else []
    return {t: sorted(((r["scan"], float(r[t]), int(r["y_" + t])) for r in rows if r["y_" + t] != ""), key=lambda x: x[1]) for t in tasks}


def groups(table, place):
    """Of each task: (place of the scan, label) in groups of equal score, lowest first."""
    out = []
    for rows in table.values():
        of, last = [], None
        for scan, score, label in rows:
            if score != last:
                of.append([])
            of[-1].append((place[scan], label))
            last = score
        out.append(of)
    return out


def auc(of, weight):
    below = pairs = positives = 0.0
    for group in of:
        up = down = 0.0
        for at, label in group:
            if label:
                up += weight[at]
            else:
                down += weight[at]
        pairs += up * (below + down / 2)
        below += down
        positives += up
    return pairs / (positives * below) if positives and below else None


def macro(tasks, weight):
    each = [a for a in (auc(t, weight) for t in tasks) if a is not None]
    return sum(each) / len(each) if each else float("nan")


def mean(values):
    return sum(values) / len(values)


class Arms:
    """arms: {name: [a run's folder for each draw]}; all of one test split."""

    def __init__(self, arms, resamples=RESAMPLES):
        tables = {a: [predictions(f + "/predictions.csv") for f in of] for a, of in arms.items()}
        scans = sorted({r[0] for of in tables.values() for t in of for rows in t.values() for r in rows})
        place = {s: i for i, s in enumerate(scans)}
        tasks = {a: [groups(t, place) for t in of] for a, of in tables.items()}
        self.scans, rng = len(scans), random.Random(1)
        self.draws = {a: [macro(t, [1] * len(scans)) for t in of] for a, of in tasks.items()}
        self.spread = {a: [] for a in arms}
        for _ in range(resamples):
            weight = [0] * len(scans)
            for _ in scans:
                weight[rng.randrange(len(scans))] += 1
            for a, of in tasks.items():
                self.spread[a].append(mean([macro(t, weight) for t in of]))

    def value(self, a):
        return mean(self.draws[a])

    def interval(self, a):
        s = sorted(self.spread[a])
        return s[int(0.025 * len(s))], s[int(0.975 * len(s)) - 1]

    def p(self, a, b):
        """That a is better than b."""
        lost = sum(x <= y for x, y in zip(self.spread[a], self.spread[b]))
        return (lost + 1) / (len(self.spread[a]) + 1)
