/* Counting what tells Hounsfield units from other values. */
#include "imaging/hu_check.h"

#include <math.h>
#include <stdbool.h>

void hu_stats_begin(hu_stats *s) { *s = (hu_stats){.least = INFINITY}; }

void hu_stats_plane(hu_stats *s, const float *pixels, int64_t columns, int64_t rows, int64_t k, int64_t slices) {
    bool inner_slice = k >= slices / 4 && k < slices - slices / 4;
    for (int64_t y = 0; y < rows; y++) {
        const float *row = pixels + y * columns;
        float least = s->least;
        int64_t soft = 0;
        for (int64_t x = 0; x < columns; x++) {
            least = row[x] < least ? row[x] : least;
            soft += row[x] >= 0 && row[x] <= 100;
        }
        s->least = least;
        s->soft += soft;
        if (!inner_slice || y < rows / 4 || y >= rows - rows / 4) continue;
        int64_t tissue = 0, from = columns / 4, to = columns - columns / 4;
        for (int64_t x = from; x < to; x++) tissue += row[x] >= -20 && row[x] <= 80;
        s->middle += to - from;
        s->tissue += tissue;
    }
}

void hu_stats_add(hu_stats *to, const hu_stats *from) {
    to->least = fminf(to->least, from->least);
    to->soft += from->soft;
    to->middle += from->middle;
    to->tissue += from->tissue;
}

void hu_stats_volume(hu_stats *s, const volume *v) {
    enum { PIECE = 1024 };
    int64_t plane = v->dim[0] * v->dim[1];
    hu_stats_begin(s);
    if (v->dtype == HCT_F32) {
        for (int64_t k = 0; k < v->dim[2]; k++)
            hu_stats_plane(s, v->f32 + k * plane, v->dim[0], v->dim[1], k, v->dim[2]);
        return;
    }
    for (int64_t k = 0; k < v->dim[2]; k++)
        for (int64_t y = 0; y < v->dim[1]; y++) {
            const int16_t *row = v->i16 + k * plane + y * v->dim[0];
            bool inner = k >= v->dim[2] / 4 && k < v->dim[2] - v->dim[2] / 4 && y >= v->dim[1] / 4 &&
                         y < v->dim[1] - v->dim[1] / 4;
            for (int64_t x = 0; x < v->dim[0]; x++) {
                if (row[x] < s->least) s->least = row[x];
                s->soft += row[x] >= 0 && row[x] <= 100;
                if (!inner || x < v->dim[0] / 4 || x >= v->dim[0] - v->dim[0] / 4) continue;
                s->middle++;
                s->tissue += row[x] >= -20 && row[x] <= 80;
            }
        }
}

hu_fault hu_check(const hu_stats *s) {
    if (!(s->least < -200)) return HU_NO_AIR;
    if (s->soft == 0) return HU_NO_SOFT;
    return 20 * s->tissue < s->middle ? HU_LITTLE_TISSUE : HU_FINE;
}

const char *hu_fault_word(hu_fault f) {
    static const char *const words[] = {
#define X(name, word, sentence) word,
        HU_FAULTS(X)
#undef X
    };
    return words[f];
}

const char *hu_fault_sentence(hu_fault f) {
    static const char *const sentences[] = {
#define X(name, word, sentence) sentence,
        HU_FAULTS(X)
#undef X
    };
    return sentences[f];
}

static float unwrapped(float x) { return x - 4096 * floorf((x + 1000) / 4096); }

void hu_unwrap(volume *v) {
    int64_t n = volume_count(v);
    if (v->dtype == HCT_I16)
        for (int64_t i = 0; i < n; i++) v->i16[i] = (int16_t)unwrapped(v->i16[i]);
    else
        for (int64_t i = 0; i < n; i++) v->f32[i] = unwrapped(v->f32[i]);
}

void hu_raise(volume *v, float floor) {
    int64_t n = volume_count(v);
    if (v->dtype == HCT_I16)
        for (int64_t i = 0; i < n; i++) v->i16[i] = v->i16[i] < floor ? (int16_t)floor : v->i16[i];
    else
        for (int64_t i = 0; i < n; i++) v->f32[i] = v->f32[i] < floor ? floor : v->f32[i];
}
