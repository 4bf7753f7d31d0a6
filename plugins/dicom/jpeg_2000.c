/* JPEG 2000 codestreams through OpenJPEG. */
#include <openjpeg.h>
#include <stdio.h>
#include <string.h>

#include "codecs.h"

typedef struct memory {
    const unsigned char *bytes;
    size_t n, at;
} memory;

static OPJ_SIZE_T read_some(void *to, OPJ_SIZE_T n, void *context) {
    memory *m = context;
    if (m->at == m->n) return (OPJ_SIZE_T)-1;
    if (n > m->n - m->at) n = m->n - m->at;
    memcpy(to, m->bytes + m->at, n);
    m->at += n;
    return n;
}

static OPJ_OFF_T skip(OPJ_OFF_T n, void *context) {
    memory *m = context;
    if (n < 0) return -1;
    size_t step = (uint64_t)n > m->n - m->at ? m->n - m->at : (size_t)n;
    m->at += step;
    return step ? (OPJ_OFF_T)step : -1;
}

static OPJ_BOOL seek(OPJ_OFF_T to, void *context) {
    memory *m = context;
    if (to < 0 || (uint64_t)to > m->n) return OPJ_FALSE;
    m->at = (size_t)to;
    return OPJ_TRUE;
}

typedef struct complaint {
    char text[150];
} complaint;

static void take(const char *message, void *context) {
    complaint *c = context;
    if (c->text[0]) return;
    snprintf(c->text, sizeof c->text, "%s", message);
    c->text[strcspn(c->text, "\n")] = 0;
}

static int is_expected(const opj_image_t *i, const hct_dicom_stream *s) {
    const opj_image_comp_t *c = i && i->numcomps == 1 ? &i->comps[0] : NULL;
    return c && c->w == s->columns && c->h == s->rows && c->prec == s->bits && c->sgnd == s->is_signed && c->dx == 1 &&
           c->dy == 1;
}

static void put(const opj_image_t *i, const hct_dicom_stream *s, void *out) {
    const OPJ_INT32 *from = i->comps[0].data;
    size_t n = (size_t)s->columns * s->rows;
    for (size_t k = 0; k < n; k++)
        if (s->bits <= 8) ((uint8_t *)out)[k] = (uint8_t)from[k];
        else ((uint16_t *)out)[k] = (uint16_t)from[k];
}

hct_status dicom_jpeg_2000(const hct_dicom_stream *s, void *out, char *why, size_t n) {
    memory m = {s->bytes, (size_t)s->n, 0};
    complaint c = {""};
    opj_dparameters_t parameters;
    opj_image_t *image = NULL;
    opj_codec_t *codec = opj_create_decompress(OPJ_CODEC_J2K);
    opj_stream_t *stream = opj_stream_create(1 << 16, OPJ_TRUE);
    int fine = codec && stream;
    if (fine) {
        opj_stream_set_user_data(stream, &m, NULL);
        opj_stream_set_user_data_length(stream, s->n);
        opj_stream_set_read_function(stream, read_some);
        opj_stream_set_skip_function(stream, skip);
        opj_stream_set_seek_function(stream, seek);
        opj_set_error_handler(codec, take, &c);
        opj_set_warning_handler(codec, take, &c);
        opj_set_default_decoder_parameters(&parameters);
        fine = opj_setup_decoder(codec, &parameters) && opj_read_header(stream, codec, &image) &&
               is_expected(image, s) && opj_decode(codec, stream, image) && opj_end_decompress(codec, stream) &&
               is_expected(image, s) && image->comps[0].data != NULL && !c.text[0];
    }
    if (fine) put(image, s, out);
    else snprintf(why, n, "OpenJPEG cannot decode it: %s", c.text[0] ? c.text : "it is not what its header says");
    if (image) opj_image_destroy(image);
    if (codec) opj_destroy_codec(codec);
    if (stream) opj_stream_destroy(stream);
    return fine ? HCT_OK : HCT_EFORMAT;
}
