#!/usr/bin/env python3
"""Random cases for every statistic, with the answers of scikit-learn, SciPy and statsmodels, as JSON for test_cases.c.

usage: PYTHON cases.py [--count N] [--seed S] > cases.json, with a Python that has scikit-learn, scipy, statsmodels
Ties, weights of 0, and tasks of one class are among them. DeLong's test, which none of the three has, is worked out from its definition (all pairs, NumPy's
covariance); BCa is SciPy's own code on draws that are given; the permutation test is SciPy's exact one over all 2^n exchanges."""
import argparse, itertools, json, sys, types, warnings

import numpy as np
import scipy.stats
import sklearn.metrics as metrics
import statsmodels.api as sm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

warnings.simplefilter("ignore")
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--count", type=int, default=4)
parser.add_argument("--seed", type=int, default=0)
a = parser.parse_args()
rng = np.random.default_rng(a.seed)


def number(v):
    return None if v is None or not np.isfinite(v) else float(v)


def numbers(v):
    return [number(x) for x in v]


def draw(n, both=True, probability=True):
    """Labels and scores: every third time few distinct scores, so that most are tied."""
    while True:
        y = (rng.random(n) < rng.choice([0.1, 0.3, 0.5, 0.9])).astype(int)
        if not both or 0 < y.sum() < n: break
    s = rng.random(n) + 0.4 * y
    s = (s - s.min()) / max(np.ptp(s), 1e-9) * 0.96 + 0.02
    if rng.random() < 0.34: s = np.round(s * 6) / 6 * 0.96 + 0.02
    return y, np.round(s, 6)


def auc(y, s, w=None):
    ok = (w > 0) if w is not None else np.ones(len(y), bool)
    if len(set(y[ok])) < 2: return None
    return metrics.roc_auc_score(y, s, sample_weight=w)


def pairs(y, s):
    """The AUC by its definition, where scikit-learn's would be asked thousands of times."""
    d = s[y == 1][:, None] - s[y == 0]
    return ((d > 0) + 0.5 * (d == 0)).mean()


def ranking(i):
    y, s = draw(int(rng.integers(2, 40)), both=i % 5 != 0)
    w = rng.integers(0, 4, len(y)) if i % 2 else np.ones(len(y), int)
    if w[y == 1].sum() == 0 and w[y == 0].sum() == 0: w[:] = 1
    precision, recall, _ = metrics.precision_recall_curve(y, s, sample_weight=w)
    precision, recall = precision[:-1][::-1], recall[:-1][::-1]
    rises = np.diff(np.concatenate([[0], recall])) > 0
    both = w[y == 1].sum() > 0 and w[y == 0].sum() > 0
    return {"y": y.tolist(), "s": s.tolist(), "w": w.tolist(), "auc": number(auc(y, s, w)),
            "average_precision": number(metrics.average_precision_score(y, s, sample_weight=w)) if w[y == 1].sum() else 0.0,
            "recall": recall[rises].tolist() if both else [], "precision": precision[rises].tolist() if both else []}


def delong(i):
    while True:
        y, s = draw(int(rng.integers(8, 40)))
        if 2 <= y.sum() <= len(y) - 2: break
    t = np.round(np.clip(0.5 * s + 0.5 * rng.random(len(y)), 0, 1), 2 if i % 3 == 0 else 6)
    v10, v01, areas = [], [], []
    for x in (s, t):
        psi = np.where(x[y == 1][:, None] > x[y == 0], 1.0, np.where(x[y == 1][:, None] == x[y == 0], 0.5, 0.0))
        v10.append(psi.mean(1)), v01.append(psi.mean(0)), areas.append(psi.mean())
    assert abs(areas[0] - metrics.roc_auc_score(y, s)) < 1e-12
    cov = np.cov(np.array(v10)) / len(v10[0]) + np.cov(np.array(v01)) / len(v01[0])
    z = scipy.stats.norm.ppf(0.975)
    error = np.sqrt(max(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1], 0))
    d = areas[0] - areas[1]
    half = z * np.sqrt(cov[0, 0])
    if error < 1e-12: z, p = (0, 1) if abs(d) < 1e-12 else (None, None)
    else: z, p = d / error, 2 * scipy.stats.norm.sf(abs(d / error))
    return {"y": y.tolist(), "s": s.tolist(), "t": t.tolist(), "low": max(areas[0] - half, 0), "high": min(areas[0] + half, 1), "difference": d,
            "error": error if error >= 1e-12 else 0, "z": z, "p": p}


def bca(i):
    n = int(rng.integers(12, 30))
    y, s = draw(n)
    index = rng.integers(0, n, (60, n))
    index = np.array([row for row in index if 0 < y[row].sum() < n])
    def statistic(rows, axis=-1):
        rows = np.asarray(rows)
        return np.apply_along_axis(lambda r: pairs(y[r.astype(int)], s[r.astype(int)]) if 0 < y[r.astype(int)].sum() < len(r) else np.nan, axis, rows)
    theta = statistic(index)
    y1, y0 = y.sum(), n - y.sum()
    out = {"y": y.tolist(), "s": s.tolist(), "index": index.tolist(), "percentile": numbers(np.percentile(theta, [2.5, 97.5])), "mean": theta.mean()}
    if y1 < 2 or y0 < 2 or not 0 < ((theta < auc(y, s)).sum() + (theta <= auc(y, s)).sum()) < 2 * len(theta):
        return bca(i)
    given = types.SimpleNamespace(bootstrap_distribution=theta)
    ends = scipy.stats.bootstrap((np.arange(n),), statistic, n_resamples=0, bootstrap_result=given, method="BCa", vectorized=True).confidence_interval
    out["bca"] = numbers(ends) if np.isfinite(ends).all() else None
    return out if out["bca"] else bca(i)


def permutation(i):
    n = int(rng.integers(5, 9))
    y, s = draw(n)
    t = np.round(rng.random(n), 1 if i % 2 else 6)
    stat = lambda x, z: pairs(y, x) - pairs(y, z)
    observed = metrics.roc_auc_score(y, s) - metrics.roc_auc_score(y, t)
    all_d = []
    for mask in itertools.product([0, 1], repeat=n):
        m = np.array(mask, bool)
        all_d.append(stat(np.where(m, t, s), np.where(m, s, t)))
    at_least = int((np.abs(all_d) >= abs(observed) - 1e-12).sum())
    exact = scipy.stats.permutation_test((s, t), stat, permutation_type="samples", n_resamples=np.inf, vectorized=False)
    assert abs(exact.statistic - observed) < 1e-12 and len(exact.null_distribution) == 2 ** n
    assert int((np.abs(exact.null_distribution) >= abs(observed) - 1e-12).sum()) == at_least
    return {"y": y.tolist(), "s": s.tolist(), "t": t.tolist(), "difference": observed, "at_least": at_least}


def holm(i):
    p = np.round(rng.random(int(rng.integers(1, 12))) ** 3, 3 if i % 2 else 9)
    return {"p": p.tolist(), "adjusted": multipletests(p, method="holm")[1].tolist()}


def operating(i):
    y, s = draw(int(rng.integers(4, 60)))
    fpr, tpr, threshold = metrics.roc_curve(y, s, drop_intermediate=False)
    fpr, tpr, threshold = fpr[1:], tpr[1:], threshold[1:]
    youden = tpr - fpr
    best = threshold[np.flatnonzero(youden > youden.max() - 1e-12)[0]]
    wanted = float(rng.choice([0.8, 0.9, 0.95]))
    sensitive = threshold[np.flatnonzero(tpr >= wanted - 1e-12)[0]]
    specific = np.flatnonzero(1 - fpr >= wanted - 1e-12)
    tn, fp, fn, tp = metrics.confusion_matrix(y, s >= best, labels=[0, 1]).ravel()
    wilson = lambda k, n: numbers(proportion_confint(k, n, method="wilson")) if n else [None, None]
    return {"y": y.tolist(), "s": s.tolist(), "wanted": wanted, "youden": best, "sensitive": sensitive,
            "specific": number(threshold[specific[-1]]) if len(specific) else None, "counts": [int(tp), int(fp), int(tn), int(fn)],
            "sensitivity": wilson(tp, tp + fn), "specificity": wilson(tn, tn + fp), "precision": wilson(tp, tp + fp), "accuracy": wilson(tp + tn, len(y)),
            "f1": number(metrics.f1_score(y, s >= best)) if tp + fp + fn else None}


def calibration(i):
    while True:
        y, s = draw(int(rng.integers(30, 80)))
        if metrics.roc_auc_score(y, s) < 0.97 and 5 <= y.sum() <= len(y) - 5: break
    x = np.log(s / (1 - s))
    bins = np.minimum((s * 10).astype(int), 9)
    ece = sum((bins == b).mean() * abs(s[bins == b].mean() - y[bins == b].mean()) for b in set(bins))
    fit = sm.GLM(y, sm.add_constant(x), family=sm.families.Binomial()).fit(tol=1e-14, maxiter=200).params
    high, low = (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2)
    platt = sm.GLM(np.where(y == 1, high, low), sm.add_constant(x), family=sm.families.Binomial()).fit(tol=1e-14, maxiter=200).params
    heat = sm.GLM(y, x, family=sm.families.Binomial()).fit(tol=1e-14, maxiter=200).params
    return {"y": y.tolist(), "s": s.tolist(), "brier": metrics.brier_score_loss(y, s), "ece": float(ece), "intercept": fit[0], "slope": fit[1],
            "platt": numbers(platt), "temperature": float(heat[0])}


KINDS = [ranking, delong, bca, permutation, holm, operating, calibration]
out = {kind.__name__: [kind(i) for i in range(a.count)] for kind in KINDS}
out["made_with"] = {m.__name__: m.__version__ for m in (np, scipy, sys.modules["sklearn"], sys.modules["statsmodels"])}


def default(v):
    return v.item() if hasattr(v, "item") else str(v)


print("{")
for k, kind in enumerate(out):
    if isinstance(out[kind], list):
        print(json.dumps(kind) + ": [\n" + ",\n".join(json.dumps(c, default=default, allow_nan=False) for c in out[kind]) + "]" + ",")
print('"made_with": ' + json.dumps(out["made_with"], default=default) + "\n}")
