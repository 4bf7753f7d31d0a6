/* The component hct_dicom_codecs.so: which library decodes what; JPEG-LS through CharLS.
 *
 * GDCM's own codec classes, which stand above the same libraries, are left out: they print what a library complains
 * of, end the process by assertions on damaged JPEG, and return frames that were cut or hold one wrong code as if
 * they were whole. */
#include <charls/charls.h>
#include <stdio.h>

#include "codecs.h"

static hct_status jpeg_ls(const hct_dicom_stream *s, void *out, char *why, size_t n) {
    charls_jpegls_decoder *d = charls_jpegls_decoder_create();
    charls_frame_info info;
    size_t want = (size_t)s->columns * s->rows * (s->bits <= 8 ? 1 : 2), size = 0;
    if (!d) {
        snprintf(why, n, "no memory to decode it");
        return HCT_ENOMEM;
    }
    charls_jpegls_errc e = charls_jpegls_decoder_set_source_buffer(d, s->bytes, (size_t)s->n);
    if (!e) e = charls_jpegls_decoder_read_header(d);
    if (!e) e = charls_jpegls_decoder_get_frame_info(d, &info);
    int fits = !e && info.width == s->columns && info.height == s->rows && info.component_count == 1 &&
               info.bits_per_sample == (int32_t)s->bits;
    if (fits) e = charls_jpegls_decoder_get_destination_size(d, 0, &size);
    fits = fits && !e && size == want;
    if (fits) e = charls_jpegls_decoder_decode_to_buffer(d, out, want, 0);
    charls_jpegls_decoder_destroy(d);
    if (fits && !e) return HCT_OK;
    snprintf(why, n, "CharLS cannot decode it: %s",
             e ? charls_get_error_message(e) : "it changes its mind about its size");
    return HCT_EFORMAT;
}

static hct_status decode(const hct_dicom_stream *s, void *out, char *why, size_t n) {
    switch (s->kind) {
    case HCT_DICOM_JPEG:
        return s->bits <= 8    ? dicom_jpeg_8(s, out, why, n)
               : s->bits <= 12 ? dicom_jpeg_12(s, out, why, n)
                               : dicom_jpeg_16(s, out, why, n);
    case HCT_DICOM_JPEG_LS: return jpeg_ls(s, out, why, n);
    case HCT_DICOM_JPEG_2000: return dicom_jpeg_2000(s, out, why, n);
    default: snprintf(why, n, "this component does not know such streams"); return HCT_EFORMAT;
    }
}

HCT_API extern const hct_dicom_plugin hct_dicom_v1;
const hct_dicom_plugin hct_dicom_v1 = {
    HCT_DICOM_MAGIC, HCT_DICOM_MAJOR, 0, sizeof(hct_dicom_plugin), "codecs", "GDCM's JPEG, CharLS, OpenJPEG", decode};
