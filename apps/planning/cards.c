/* Cards, and what a program's calls take on them by the model of cards.h. */
#include "planning/cards.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* products: what cuBLASLt (hipBLASLt) is known to reach on large products at the power that a card may draw; attention:
 * FlashAttention-2 and -3 as their papers have them at 512 tokens. Both rounded to a twentieth. */
const card cards[] = {
    {"h200", "NVIDIA H200 SXM data sheet", 4.8e12, 989e12, 67e12, 132, 0.70, 0.35},
    {"h100", "NVIDIA H100 SXM data sheet", 3.35e12, 989e12, 67e12, 132, 0.70, 0.35},
    {"a100", "NVIDIA A100 80GB SXM data sheet", 2.039e12, 312e12, 19.5e12, 108, 0.80, 0.40},
    {"l40s", "NVIDIA L40S data sheet", 0.864e12, 362e12, 91.6e12, 142, 0.70, 0.40},
    {"mi300x", "AMD Instinct MI300X data sheet", 5.3e12, 1307e12, 163.4e12, 304, 0.50, 0.30},
    {NULL, NULL, 0, 0, 0, 0, 0, 0},
};
enum { LARGEST = 20 };

const card *card_find(const char *name) {
    const card *c = cards;
    while (c->name && strcmp(c->name, name) != 0) c++;
    return c->name ? c : NULL;
}

static double up(double x, double to) { return ceil(x / to) * to; }

/* A product's work as the card does it: whole tiles in whole waves, its sums in as many parts as leave the fewest
 * places of the last wave empty. */
static double paid_flops(const card *c, const hct_call *p) {
    double tiles = ceil((double)p->m / CARD_TILE) * ceil((double)p->n / CARD_TILE) * (double)p->matrices,
           units = (double)c->units, least = INFINITY;
    if (tiles < 1) return p->flops;
    for (double parts = 1; parts <= fmin(ceil((double)p->k / CARD_SPLIT), units); parts++)
        least = fmin(least, up(tiles * parts, units) / parts);
    return fmax(p->flops, 2 * least * CARD_TILE * CARD_TILE * (double)p->k);
}

double card_seconds(const card *c, const hct_call *call, double *ret_floor) {
    double peak = call->dtype == HCT_BF16 || call->dtype == HCT_F16 ? c->peak16 : c->peak32;
    int attends = !strncmp(call->op, "attention", 9);
    double work = (attends ? call->flops : paid_flops(c, call)) / ((attends ? c->attention : c->products) * peak);
    double rate = CARD_MEMORY * c->bandwidth, own = (call->moved - call->moved_library) / rate,
           library = call->moved_library / rate;
    if (ret_floor) *ret_floor = fmax(fmin(call->bytes, call->moved) / c->bandwidth, call->flops / peak);
    return call->launches * CARD_LAUNCH + (call->library ? own + fmax(library, work) : fmax(own, work));
}

/* All calls of one kernel. */
typedef struct part {
    const char *op, *kernel;
    size_t calls, launches;
    double seconds, floor, moved, flops;
} part;

typedef struct sums {
    const card *c;
    part *parts; /* [n] */
    size_t n, cap, calls, launches, library;
    double seconds, floor, moved, flops, at_peak;
    bool failed;
} sums;

static void add(void *context, const hct_call *call) {
    sums *s = context;
    size_t k = 0;
    while (k < s->n && strcmp(s->parts[k].kernel, call->kernel) != 0) k++;
    if (k == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        part *more = realloc(s->parts, cap * sizeof *more);
        if (!more) {
            s->failed = true;
            return;
        }
        s->parts = more;
        s->cap = cap;
    }
    if (k == s->n) s->parts[s->n++] = (part){.op = call->op, .kernel = call->kernel};
    double floor, seconds = card_seconds(s->c, call, &floor);
    part *p = &s->parts[k];
    p->calls++, s->calls++;
    p->launches += call->launches, s->launches += call->launches;
    s->library += call->library;
    p->seconds += seconds, s->seconds += seconds;
    p->floor += floor, s->floor += floor;
    p->moved += call->moved, s->moved += call->moved;
    p->flops += call->flops, s->flops += call->flops;
    s->at_peak += call->flops / (call->dtype == HCT_BF16 || call->dtype == HCT_F16 ? s->c->peak16 : s->c->peak32);
}

static int longest_first(const void *a, const void *b) {
    double x = ((const part *)a)->seconds, y = ((const part *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

hct_status card_print(const card *c, const hct_tape *program, int64_t scans, FILE *out, hct_err *err) {
    sums s = {.c = c};
    hct_status st = hct_calls(program, add, &s, err);
    if (st == HCT_OK && s.failed) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && s.calls) {
        qsort(s.parts, s.n, sizeof *s.parts, longest_first);
        fprintf(out,
                "card       %s, modelled, never measured (%s: %.2f TB/s, %.0f TFLOP/s in 16 bits, %.0f in 32; "
                "assumed: products at %.0f%% of the peak in whole waves of tiles, attention %.0f%%, memory %.0f%%, "
                "%.1f us a launch)\n",
                c->name, c->source, c->bandwidth / 1e12, c->peak16 / 1e12, c->peak32 / 1e12, 100 * c->products,
                100 * c->attention, 100 * CARD_MEMORY, CARD_LAUNCH * 1e6);
        fprintf(
            out,
            "           %zu calls, %zu launches (%zu of libraries), %.0f bytes moved, %.3f TFLOP: a step of %.1f ms, "
            "%.1f scans/s, MFU %.0f%%; floor %.1f ms\n",
            s.calls, s.launches, s.library, s.moved, s.flops / 1e12, 1e3 * s.seconds, (double)scans / s.seconds,
            100 * s.at_peak / s.seconds, 1e3 * s.floor);
        fprintf(out, "           %9s %6s %9s %7s %9s %10s %9s  kernel (op)\n", "ms", "share", "floor ms", "calls",
                "launches", "GB", "TFLOP");
        for (size_t k = 0; k < s.n && k < LARGEST; k++) {
            const part *p = &s.parts[k];
            fprintf(out, "           %9.3f %5.1f%% %9.3f %7zu %9zu %10.3f %9.4f  %s (%s)\n", 1e3 * p->seconds,
                    100 * p->seconds / s.seconds, 1e3 * p->floor, p->calls, p->launches, p->moved / 1e9,
                    p->flops / 1e12, p->kernel, p->op);
        }
    }
    free(s.parts);
    return st;
}

void card_print_sizes(int64_t image, int64_t patch, int64_t width, int64_t depth, int64_t mlp, FILE *out) {
    fprintf(out, "sizes      forward pass of a scan, by image and patch size (voxels):\n");
    fprintf(out, "           %6s %6s %8s %9s %16s\n", "image", "patch", "tokens", "GFLOP", "attention's share");
    for (int64_t i = image / 2; i <= 2 * image; i *= 2)
        for (int64_t p = patch / 2; p <= 2 * patch; p += patch / 2) {
            if (p < 1 || i % p || p == patch + patch / 2) continue;
            double grid = (double)(i / p), n = grid * grid * grid + 1, w = (double)width;
            double products = 2 * n * w * (4 * w + 2 * (double)mlp) * (double)depth,
                   attention = 4 * n * n * w * (double)depth;
            fprintf(out, "           %6lld %6lld %8.0f %9.1f %15.1f%%\n", (long long)i, (long long)p, n,
                    (products + attention) / 1e9, 100 * attention / (products + attention));
        }
}
