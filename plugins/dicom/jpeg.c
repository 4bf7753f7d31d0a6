/* JPEG (baseline, extended, lossless) through GDCM's JPEG library, whose C interface is the IJG's. Compiled once for
 * each width of samples that the library is built for: BITS 8, 12 or 16, with that one's headers. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "codecs.h"

#define JOINED(a, b) a##b
#define FUNCTION(bits) JOINED(dicom_jpeg_, bits)

typedef struct errors {
    struct jpeg_error_mgr base;
    jmp_buf back;
    char *why;
    size_t n;
} errors;

static void give_up(j_common_ptr c) {
    errors *e = (errors *)c->err;
    char text[JMSG_LENGTH_MAX];
    e->base.format_message(c, text);
    snprintf(e->why, e->n, "it is damaged: %.150s", text);
    longjmp(e->back, 1);
}

/* Level -1 is a warning: data that are damaged but can be guessed. */
static void take_message(j_common_ptr c, int level) {
    if (level < 0) give_up(c);
}

static void say_nothing(j_common_ptr c) { (void)c; }

static void begin_source(j_decompress_ptr c) { (void)c; }
static boolean more_source(j_decompress_ptr c) {
    errors *e = (errors *)c->err;
    snprintf(e->why, e->n, "it was cut");
    longjmp(e->back, 1);
}
static void skip_source(j_decompress_ptr c, long n) {
    if (n <= 0) return;
    if ((size_t)n > c->src->bytes_in_buffer) more_source(c);
    c->src->next_input_byte += n;
    c->src->bytes_in_buffer -= (size_t)n;
}

hct_status FUNCTION(BITS)(const hct_dicom_stream *s, void *out, char *why, size_t n) {
    struct jpeg_decompress_struct c;
    errors e = {.why = why, .n = n};
    struct jpeg_source_mgr source = {.next_input_byte = s->bytes,
                                     .bytes_in_buffer = (size_t)s->n,
                                     .init_source = begin_source,
                                     .fill_input_buffer = more_source,
                                     .skip_input_data = skip_source,
                                     .resync_to_restart = jpeg_resync_to_restart,
                                     .term_source = begin_source};
    memset(&c, 0, sizeof c);
    c.err = jpeg_std_error(&e.base);
    e.base.error_exit = give_up;
    e.base.emit_message = take_message;
    e.base.output_message = say_nothing;
    if (setjmp(e.back)) {
        jpeg_destroy_decompress(&c);
        return HCT_EFORMAT;
    }
    jpeg_create_decompress(&c);
    c.src = &source;
    jpeg_read_header(&c, TRUE);
    if (c.image_width != s->columns || c.image_height != s->rows || c.num_components != 1 ||
        c.data_precision != (int)s->bits) {
        snprintf(why, n, "it changes its mind about its size");
        longjmp(e.back, 1);
    }
    c.jpeg_color_space = c.out_color_space = JCS_GRAYSCALE;
    jpeg_start_decompress(&c);
    size_t row = (size_t)s->columns * sizeof(JSAMPLE);
    if (c.output_width != s->columns || c.output_height != s->rows || c.output_components != 1) {
        snprintf(why, n, "it changes its mind about its size");
        longjmp(e.back, 1);
    }
    while (c.output_scanline < c.output_height) {
        JSAMPROW to = (JSAMPROW)((char *)out + row * c.output_scanline);
        if (jpeg_read_scanlines(&c, &to, 1) != 1) more_source(&c);
    }
    jpeg_finish_decompress(&c);
    jpeg_destroy_decompress(&c);
    return HCT_OK;
}
