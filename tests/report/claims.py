"""ci/claims.py, which make demo and make study rest on: AUCs as counted pair by pair, and p that is small where an arm is better in every draw and near one half where both
are chance. Arguments: the folder ci."""
import os
import random
import sys
import tempfile

sys.path.insert(0, sys.argv[1])
from claims import Arms, mean, predictions  # noqa: E402

done = bad = 0


def ok(good, name):
    global done, bad
    done += 1
    bad += not good
    print(f"{'ok' if good else 'not ok'} {done} - {name}")


def write(folder, signal, seed):
    rng = random.Random(seed)
    os.makedirs(folder)
    with open(folder + "/predictions.csv", "w") as f:
        f.write("scan,patient,split,A,B,y_A,y_B\n")
        for i in range(240):
            y = (i % 3 == 0, i % 5 == 0)
            score = [round(rng.gauss(0, 1) + signal * label, 1) for label in y]  # many are equal
            f.write(f"s{i},p{i},{'val' if i % 4 == 0 else 'test'},{score[0]},{score[1]},{int(y[0])},{'' if i == 7 else int(y[1])}\n")


def counted(rows):
    up, down = [s for _, s, y in rows if y], [s for _, s, y in rows if not y]
    return sum((a > b) + (a == b) / 2 for a in up for b in down) / (len(up) * len(down))


with tempfile.TemporaryDirectory() as work:
    for arm, signal in (("good", 1.0), ("none", 0.0), ("other", 0.0)):
        for k in range(3):
            write(f"{work}/{arm}-{k}", signal, f"{arm}{k}")
    arms = Arms({a: [f"{work}/{a}-{k}" for k in range(3)] for a in ("good", "none", "other")}, 300)
    table = predictions(f"{work}/good-1/predictions.csv")
    ok(len(table["A"]) == 180 and len(table["B"]) == 179 and arms.scans == 180, "test scans alone, those with a label")
    ok(abs(arms.draws["good"][1] - mean([counted(t) for t in table.values()])) < 1e-12, "AUC as counted pair by pair, equal scores a half")
    low, high = arms.interval("good")
    ok(low < arms.value("good") < high and high - low < 0.15, "an interval around it")
    ok(arms.p("good", "none") < 0.01 and arms.p("none", "good") > 0.99, "what is better in every draw is found so")
    ok(0.02 < arms.p("none", "other") < 0.98, "chance is not")
print(f"1..{done}")
sys.exit(bad > 0)
