#!/usr/bin/env python3
"""pytorch_step.py [CARD...]: what the cost model of `headct plan --card` says of the kernels that PyTorch launches for the paper's steps (eager, bf16 by autocast, as MONAI writes a
ViT), beside the rates that the paper's runs imply (PyTorch 2.4, four A100s). Modelled, never measured. Bytes are those of each kernel's operands; the list is written by hand from
what autocast does: layer norms, softmax and the residual stream in f32, products in bf16, a cast at each border, attention's matrix in memory unless --flash."""
import math
import sys

# as apps/planning/cards.c: bytes/s, FLOP/s in 16 bits, multiprocessors, share of the peak in products and in fused attention
CARDS = {"a100": (2.039e12, 312e12, 108, 0.80, 0.40), "h100": (3.35e12, 989e12, 132, 0.70, 0.35), "h200": (4.8e12, 989e12, 132, 0.70, 0.35)}
MEMORY, LAUNCH, TILE, SPLIT = 0.85, 2e-6, 128, 512


class Step:
    def __init__(self, card):
        self.bandwidth, self.peak, self.units, self.reach, self.fused = CARDS[card]
        self.seconds = self.moved = self.flops = self.launches = 0

    def add(self, count, seconds, moved, flops):
        self.seconds += count * (LAUNCH + seconds)
        self.moved += count * moved
        self.flops += count * flops
        self.launches += count

    def move(self, count, elements, each):
        """Passes over `elements`, `each` bytes for every one."""
        self.add(count, elements * each / (MEMORY * self.bandwidth), elements * each, 0)

    def product(self, m, n, k, matrices=1, count=1, out=2):
        tiles = math.ceil(m / TILE) * math.ceil(n / TILE) * matrices
        parts = range(1, min(math.ceil(k / SPLIT), self.units) + 1)
        paid = 2 * min(math.ceil(tiles * p / self.units) * self.units / p for p in parts) * TILE * TILE * k
        moved = matrices * (2 * (m * k + k * n) + out * m * n)
        self.add(count, max(moved / (MEMORY * self.bandwidth), paid / (self.reach * self.peak)), moved, 2 * m * n * k * matrices)

    def linear(self, rows, k, n, train):
        self.product(rows, n, k)
        if train:
            self.product(rows, k, n)
            self.product(n, k, rows)
            self.move(1, rows * n, 2)  # the bias's gradient

    def attention(self, batch, n, w, h, train, flash):
        e, a, d = batch * n * w, batch * h * n * n, w // h
        ways = 3 if train else 1
        if flash:
            for factor in [4, 8][:2 if train else 1]:
                flops = factor * batch * n * n * w
                self.add(1, flops / (self.fused * self.peak), 2 * factor * e, flops)
            return
        self.move(3 + 1, e, 4)  # q, k, v and the result made contiguous
        self.product(n, n, d, batch * h)
        self.product(n, d, n, batch * h)
        self.move(1, a, 4)  # scale
        self.move(2, a, 6)  # to f32 and back
        self.move(1, a, 8)  # softmax
        if train:
            self.product(n, d, n, batch * h, count=ways)
            self.product(n, n, d, batch * h)
            self.move(2, a, 6)
            self.move(1, a, 12)
            self.move(1, a, 4)
            self.move(4, e, 4)

    def block(self, batch, n, w, h, mlp, train, flash):
        rows, e, m = batch * n, batch * n * w, batch * n * mlp
        for _ in range(2):
            self.move(1, e, 8)   # layer norm, f32
            self.move(1, e, 6)   # to bf16
            self.move(1, e, 10)  # residual: bf16 to f32
            if train:
                self.move(1, e, 20)  # its backward, gamma and beta
                self.move(2, e, 6)   # borders
                self.move(1, e, 12)  # gradients of the stream added
        self.linear(rows, w, 3 * w, train)
        self.attention(batch, n, w, h, train, flash)
        self.linear(rows, w, w, train)
        self.linear(rows, w, mlp, train)
        self.move(1, m, 4)
        if train:
            self.move(1, m, 6)
        self.linear(rows, mlp, w, train)

    def optimiser(self, tensors, parameters, teacher):
        self.move(2, parameters, 6)                        # weights to bf16
        self.move(2, parameters, 8)                        # clip
        for _ in range(9):                                 # AdamW by foreach: passes over p, g, m, v and what lies between
            self.move(math.ceil(tensors / 30), parameters / math.ceil(tensors / 30), 12)
        if teacher:
            self.move(1, parameters, 6)
            self.move(2 * tensors, parameters / tensors, 12)


def dino(card, flash, scans=64):
    s, w, n, patch = Step(card), 768, 513, 3 * 12 ** 3
    for views, train in ((5, True), (2, False)):
        b = views * scans
        s.linear(b * 512, patch, w, train)
        for _ in range(12):
            s.block(b, n, w, 12, 3072, train, flash)
        for k, out in ((w, 2048), (2048, 2048), (2048, 256), (256, 65536)):
            s.linear(b, k, out, train)
        s.move(12 if train else 4, b * 65536, 4)
    s.optimiser(150, 112e6, True)
    return s


def mae(card, flash, scans=64):
    s, w, patch = Step(card), 768, 3 * 12 ** 3
    s.linear(scans * 128, patch, w, True)
    for _ in range(12):
        s.block(scans, 129, w, 12, 3072, True, flash)
    s.linear(scans * 129, w, w, True)
    for _ in range(8):
        s.block(scans, 513, w, 12, 3072, True, flash)
    s.linear(scans * 512, w, patch, True)
    s.move(8, scans * 512 * patch, 4)  # loss
    s.optimiser(250, 150e6, False)
    return s


def main():
    cards = [a for a in sys.argv[1:] if not a.startswith("-")] or ["a100"]
    if set(cards) - set(CARDS):
        sys.exit(f"pytorch_step.py: cards are {', '.join(CARDS)}")
    published = {"dino": 45, "mae": 65}
    print("modelled, never measured; published: what the paper's runs imply for a card, loading and views included")
    for card in cards:
        for name, step in (("dino", dino), ("mae", mae)):
            for flash in (False, True):
                s = step(card, flash)
                beside = f", published {published[name]}" if card == "a100" else ""
                print(f"{card} {name:4} {'fused attention' if flash else 'attention in memory'}: {s.launches} launches, {s.moved / 1e9:.0f} GB, {s.flops / 1e12:.1f} TFLOP, "
                      f"{1e3 * s.seconds:.0f} ms, {64 / s.seconds:.0f} scans/s{beside}")


if __name__ == "__main__":
    main()
