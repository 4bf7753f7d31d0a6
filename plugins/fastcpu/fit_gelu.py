#!/usr/bin/env python3
"""Coefficients of gelu_table.h, fitted at Chebyshev nodes (near-minimax polynomials); prints the table and the largest errors in float64.
For vectors of 16 (a lookup among 32 is one instruction there): Phi(-x) and Phi(-x) - x phi(x) on 32 intervals around the multiples of WIDTH, in
s = x / WIDTH - n, the last one 0. For vectors of 8: erf(x) / x in x^2 on [0, 1], and log(1 - erf(x)) in t = (x - 2.5) / 1.5 on [1, 4]."""
from math import cos, erf, erfc, exp, log, pi

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

PIECES, DEGREE, WIDTH = 32, 4, 3 / 16
tail = lambda x: erfc(x / 2 ** 0.5) / 2
slope_tail = lambda x: tail(x) - x * exp(-x * x / 2) / (2 * pi) ** 0.5

def pieces(f):
    """A row of coefficients for each interval, and the largest error."""
    rows = [powers(fit(f, (n - 0.5) * WIDTH, (n + 0.5) * WIDTH, DEGREE), 2, 0) for n in range(PIECES - 1)] + [[0.0] * (DEGREE + 1)]
    grid = [i / 1000 for i in range(int(WIDTH * PIECES * 1000))]
    return rows, max(abs(value(rows[int(x / WIDTH + 0.5)], x / WIDTH - int(x / WIDTH + 0.5)) - f(x)) for x in grid if x / WIDTH < PIECES - 0.5)

small = powers(fit(lambda s: erf(s ** 0.5) / s ** 0.5 if s else 2 / pi ** 0.5, 0, 1, 6), 2, -1)
large = fit(lambda x: log(erfc(x)), 1, 4, 8)
grid = [i / 10000 for i in range(1, 40001)]
worst_small = max(abs(x * value(small, x * x) / erf(x) - 1) for x in grid if x <= 1)
worst_large = max(abs(exp(value(large, (x - 2.5) / 1.5)) - erfc(x)) for x in grid if x >= 1)
tables = [("tail",) + pieces(tail), ("slope_tail",) + pieces(slope_tail)]
print("/* Made by fit_gelu.py: worst error %.1e of erf below 1, %.1e above; %.1e and %.1e of the tails. */" %
      (worst_small, worst_large, tables[0][2], tables[1][2]))
print("#ifndef FASTCPU_GELU_TABLE_H\n#define FASTCPU_GELU_TABLE_H")
print("#if defined __AVX512F__")
print("enum { GELU_PIECES = %d, GELU_DEGREE = %d };\n#define GELU_WIDTH %.4ff" % (PIECES, DEGREE, WIDTH))
for name, rows, _ in tables:
    print("static const float gelu_%s[GELU_DEGREE + 1][GELU_PIECES] = {" % name)
    for power in zip(*rows):
        print("    {%s}," % ", ".join("%.9ef" % c for c in power))
    print("};")
print("#else")
for name, p in ("small", small), ("large", large):
    print("enum { ERF_%s = %d };" % (name.upper(), len(p)))
    print("static const float erf_%s[] = {%s};" % (name, ", ".join("%.9ef" % c for c in p)))
print("#endif\n#endif")
