/* A model of what a program takes on a card: calls, launches, bytes and work against the card's rates.
 *
 * A launch costs CARD_LAUNCH. Kernels of our own take their bytes at a share of the memory's rate. A library's take the
 * longer of two times: their bytes, or their work at the share of the peak that the library reaches. Products are cut
 * into tiles of CARD_TILE^2, which the card's multiprocessors take in waves: what is padded, and the places that the
 * last wave leaves empty, are paid for; long sums are split where that leaves fewer empty. The shares are assumptions,
 * so that a time is wrong by some tens of per cent; what it ranks, and the counts of launches and bytes, are worth more
 * than the time. No figure of it was measured on a card. */
#ifndef PLANNING_CARDS_H
#define PLANNING_CARDS_H

#include <stdio.h>

#include "hct/hct.h"

/* Rates as the makers' data sheets give them, dense, and what of them libraries are assumed to reach. */
typedef struct card {
    const char *name, *source;
    double bandwidth;      /* bytes a second */
    double peak16, peak32; /* FLOP a second: bf16 and f16 with sums in f32; f32 without TF32 */
    int64_t units;         /* multiprocessors */
    double products;       /* of the peak, where tiles fill the card */
    double attention;      /* of the peak, at about 512 tokens and heads of 64 */
} card;

extern const card cards[]; /* ended by a name of NULL */
/* NULL: there is none of that name. */
const card *card_find(const char *name);

/* Of the memory's rate, what anything reaches; what a launch from a recorded graph costs; a product's tile, and the
 * shortest part of a sum that is split. */
#define CARD_MEMORY 0.85
#define CARD_LAUNCH 2.0e-6 /* seconds */
#define CARD_TILE 128
#define CARD_SPLIT 512

/* Seconds of one call; floor: each operand once and the work, at the peak rates and without a launch. */
double card_seconds(const card *c, const hct_call *call, double *ret_floor);

/* Prints the step of a planned program on a card: time, share of the peak (MFU), calls, bytes, and the twenty
 * largest kernels beside their floor. scans: of a step. */
hct_status card_print(const card *c, const hct_tape *program, int64_t scans, FILE *out, hct_err *err);
/* How work and memory of a vision transformer's forward pass go with patch and image size: attention's share grows
 * with the square of the tokens, the patch's edge to the power of minus six (the paper's supplement D). */
void card_print_sizes(int64_t image, int64_t patch, int64_t width, int64_t depth, int64_t mlp, FILE *out);

#endif
