/* hct_dicom.h: what a component that decodes compressed DICOM pixels implements.
 *
 * One shared object, hct_dicom_NAME.so in a plugin folder, that exports the data symbol `hct_dicom_v1`. It is opened
 * when the first compressed frame is met (apps/dicom/component.c), and never unloaded. Everything else of DICOM is
 * read without it.
 *
 * The caller has looked at the stream's own header: it holds one component of `columns` x `rows` samples of `bits`
 * bits, and it ends with the marker that ends such streams. A decoder refuses what turns out otherwise. */
#ifndef HCT_DICOM_H
#define HCT_DICOM_H

#include "hct/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HCT_DICOM_MAGIC 0x314d4344u /* "DCM1" */
enum { HCT_DICOM_MAJOR = 1 };       /* another one is refused before anything is called */

enum {
    HCT_DICOM_JPEG = 0,     /* ISO 10918-1: baseline, extended, lossless */
    HCT_DICOM_JPEG_LS = 1,  /* ISO 14495-1 */
    HCT_DICOM_JPEG_2000 = 2 /* ISO 15444-1, the codestream without boxes */
};

typedef struct hct_dicom_stream {
    uint32_t size; /* of this struct */
    int32_t kind;
    const unsigned char *bytes;
    uint64_t n;
    uint32_t columns, rows, bits, is_signed; /* bits: 2 to 16 */
} hct_dicom_stream;

typedef struct hct_dicom_plugin {
    uint32_t magic, major, minor, size;
    const char *name, *version;
    /* Writes columns * rows samples row by row: a byte each where bits is at most 8, else two in this machine's order.
     * Of a signed stream the two's complement. Any thread. HCT_EFORMAT: damaged, or not what was told; why: n bytes. */
    hct_status (*decode)(const hct_dicom_stream *, void *out, char *why, size_t n);
} hct_dicom_plugin;

#ifdef __cplusplus
}
#endif
#endif
