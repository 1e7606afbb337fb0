#!/usr/bin/python3
"""What scikit-learn, and NumPy where it has nothing, say of seeded scores: expected.json, for package figures.

Needs python3-sklearn. Areas' intervals are DeLong's by the matrix of all pairs, Newcombe's method 5 by Brent's root; the shares'
are the roots of (p - x)² = z² x(1 - x)/n, Wilson's own definition.
"""
import json
import os

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn import metrics

Z = norm.ppf(0.975)


def wilson(hits, n):
    p = hits / n
    roots = np.roots([1 + Z * Z / n, -(2 * p + Z * Z / n), p * p])
    return [float(max(min(roots), 0)), float(min(max(roots), 1))]


def area(present, absent):
    x, y = np.array(present), np.array(absent)
    m, n = len(x), len(y)
    wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    a = wins.mean()
    variance = wins.mean(1).var(ddof=1) / m + wins.mean(0).var(ddof=1) / n if min(m, n) > 1 else 0
    if variance > 0:
        half = Z * variance ** 0.5
        return a, max(a - half, 0), min(a + half, 1)
    star = (m + n) / 2 - 1
    se = lambda t: (t * (1 - t) * (1 + star * ((1 - t) / (2 - t) + t / (1 + t))) / (m * n)) ** 0.5
    low = brentq(lambda t: a - t - Z * se(t), 1e-12, a - 1e-9) if a > 0 else 0
    high = brentq(lambda t: t - a - Z * se(t), a + 1e-9, 1 - 1e-12) if a < 1 else 1
    return a, low, high


def calibration(p, so, bins=10):
    p, so = np.array(p), np.array(so)
    at = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(abs(p[at == b].mean() - so[at == b].mean()) * (at == b).sum() for b in range(bins) if (at == b).any()) / len(p))


def case(name, present, absent, threshold):
    truth = np.array([1] * len(present) + [0] * len(absent))
    score = np.array(list(present) + list(absent), dtype=float)
    called = score >= threshold
    tn, fp, fn, tp = metrics.confusion_matrix(truth, called, labels=[0, 1]).ravel()
    out = {"name": name, "present": [float(v) for v in present], "absent": [float(v) for v in absent], "threshold": threshold,
           "counts": [int(tp), int(fp), int(fn), int(tn)], "accuracy": float(metrics.accuracy_score(truth, called)),
           "ece": calibration(score, truth)}
    out["accuracy_interval"] = wilson(tp + tn, len(truth))
    if tp + fn:
        out["sensitivity"] = float(metrics.recall_score(truth, called))
        out["sensitivity_interval"] = wilson(tp, tp + fn)
    if tn + fp:
        out["specificity"] = float(metrics.recall_score(truth, called, pos_label=0))
        out["specificity_interval"] = wilson(tn, tn + fp)
    if tp + fp:
        out["precision"] = float(metrics.precision_score(truth, called))
    if tp + fp + fn:
        out["f1"] = float(metrics.f1_score(truth, called))
    if (tp + fn) * (tn + fp) * (tp + fp) * (tn + fn):
        out["mcc"] = float(metrics.matthews_corrcoef(truth, called))
    if present and absent:
        out["auc"] = float(metrics.roc_auc_score(truth, score))
        a, low, high = area(present, absent)
        assert abs(a - out["auc"]) < 1e-12
        out["auc_interval"] = [float(low), float(high)]
        fpr, tpr, at = metrics.roc_curve(truth, score, drop_intermediate=False)
        reach = [t for t, s in zip(at, tpr) if s >= 0.9 - 1e-12]
        out["at_sensitivity_0.9"] = float(max(reach))
        reach = [t for t, s in zip(at, fpr) if 1 - s >= 0.9 - 1e-12 and t <= score.max()]
        if reach:
            out["at_specificity_0.9"] = float(min(reach))
    return out


r = np.random.default_rng(20)
cases = [
    case("overlapping", list(r.beta(4, 2, 60).round(6)), list(r.beta(2, 4, 90).round(6)), 0.5),
    case("ties", list(r.integers(3, 10, 40) / 10), list(r.integers(1, 8, 55) / 10), 0.5),
    case("apart", [0.9, 0.8, 0.95, 0.7], [0.1, 0.2, 0.3], 0.5),
    case("the wrong way round", [0.1, 0.2, 0.15], [0.9, 0.8, 0.85, 0.7], 0.5),
    case("one score", [0.4] * 5, [0.4] * 7, 0.5),
    case("one of each", [0.8], [0.3], 0.5),
    case("one present", [0.8], [0.3, 0.9, 0.1, 0.2], 0.5),
    case("one frame", [0.8], [], 0.5),
    case("no positives", [], [0.3, 0.6, 0.1], 0.5),
    case("no negatives", [0.3, 0.6, 0.1], [], 0.5),
    case("none called", [0.3, 0.2], [0.1, 0.4], 0.5),
    case("all called", [0.6, 0.7], [0.8, 0.9], 0.5),
    case("certain", [1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0], 0.5),
]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected.json"), "w") as f:
    json.dump(cases, f, indent=1)
    f.write("\n")
