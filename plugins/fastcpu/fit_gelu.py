#!/usr/bin/env python3
"""Coefficients of erf_table.h: erf(x) / x in x^2 on [0, 1], and log(1 - erf(x)) in t = (x - 2.5) / 1.5 on [1, 4], fitted at
Chebyshev nodes (a near-minimax polynomial). Prints the table and the largest errors in float64."""
from math import cos, erf, erfc, log, pi

def fit(f, low, high, degree):
    """Newton's interpolation at the Chebyshev nodes of [low, high], as powers of s = (x - middle) / half."""
    n = degree + 1
    s = [cos(pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    y = [f((low + high) / 2 + (high - low) / 2 * v) for v in s]
    for k in range(1, n):
        for i in range(n - 1, k - 1, -1):
            y[i] = (y[i] - y[i - 1]) / (s[i] - s[i - k])
    p = [0.0] * n
    for i in range(n - 1, -1, -1):
        p = [(p[j - 1] if j else 0.0) - s[i] * p[j] for j in range(n)]
        p[0] += y[i]
    return p

def powers(p, scale, shift):
    """p(scale x + shift) as powers of x."""
    out = [0.0] * len(p)
    for c in reversed(p):
        out = [(out[j - 1] * scale if j else 0.0) + shift * out[j] for j in range(len(p))]
        out[0] += c
    return out

def value(p, x):
    r = 0.0
    for c in reversed(p):
        r = r * x + c
    return r

small = powers(fit(lambda s: erf(s ** 0.5) / s ** 0.5 if s else 2 / pi ** 0.5, 0, 1, 6), 2, -1)
large = fit(lambda x: log(erfc(x)), 1, 4, 8)
grid = [i / 10000 for i in range(1, 40001)]
worst_small = max(abs(x * value(small, x * x) / erf(x) - 1) for x in grid if x <= 1)
worst_large = max(abs(2.718281828459045 ** value(large, (x - 2.5) / 1.5) - erfc(x)) for x in grid if x >= 1)
print("/* Made by fit_erf.py: worst error %.1e of erf below 1, %.1e above. */" % (worst_small, worst_large))
print("#ifndef FASTCPU_ERF_TABLE_H\n#define FASTCPU_ERF_TABLE_H")
for name, p in ("small", small), ("large", large):
    print("enum { ERF_%s = %d };" % (name.upper(), len(p)))
    print("static const float erf_%s[] = {%s};" % (name, ", ".join("%.9ef" % c for c in p)))
print("#endif")
