/* A model of what a program takes on a card: calls, bytes and work against the card's rates.
 *
 * A call takes its launch and the longer of two times: its bytes at a share of the memory's rate, its work at a share
 * of the peak of its dtype. The shares are assumptions (below), so that a time is wrong by some tens of per cent; what
 * it ranks, and the counts of calls and bytes, are worth more than the time. No figure of it was measured on a card. */
#ifndef PLANNING_CARDS_H
#define PLANNING_CARDS_H

#include <stdio.h>

#include "hct/hct.h"

/* Rates as the makers' data sheets give them, dense. */
typedef struct card {
    const char *name, *source;
    double bandwidth;      /* bytes a second */
    double peak16, peak32; /* FLOP a second: bf16 and f16 with sums in f32; f32 without TF32 */
} card;

extern const card cards[]; /* ended by a name of NULL */
/* NULL: there is none of that name. */
const card *card_find(const char *name);

/* What of a peak is reached: large products and convolutions by the vendor's library, fused attention; of the memory's
 * rate by anything; and what a launch from a recorded graph costs. */
#define CARD_PRODUCTS 0.70
#define CARD_ATTENTION 0.50
#define CARD_MEMORY 0.85
#define CARD_LAUNCH 2.0e-6 /* seconds */

/* Seconds of one call; floor: at the peak rates and without a launch. */
double card_seconds(const card *c, const hct_call *call, double *ret_floor);

/* Prints the step of a planned program on a card: time, share of the peak (MFU), calls, bytes, and the twenty
 * largest kernels beside their floor. scans: of a step. */
hct_status card_print(const card *c, const hct_tape *program, int64_t scans, FILE *out, hct_err *err);
/* How work and memory of a vision transformer's forward pass go with patch and image size: attention's share grows
 * with the square of the tokens, the patch's edge to the power of minus six (the paper's supplement D). */
void card_print_sizes(int64_t image, int64_t patch, int64_t width, int64_t depth, int64_t mlp, FILE *out);

#endif
