/* hct_dicom_writer.h: what a component that writes DICOM files implements.
 *
 * One shared object, hct_dicom_writer.so in a plugin folder, that exports the data symbol `hct_dicom_writer_v1`. It is
 * opened when the first object is written (apps/dicom/component.c), and never unloaded. What an object says is the
 * caller's; the component turns the list of elements into a file: file meta information, order of tags, lengths,
 * explicit VR little endian. */
#ifndef HCT_DICOM_WRITER_H
#define HCT_DICOM_WRITER_H

#include "hct/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HCT_DICOM_WRITER_MAGIC 0x31574344u /* "DCW1" */
enum { HCT_DICOM_WRITER_MAJOR = 1 };       /* another one is refused before anything is called */

enum {
    HCT_DICOM_VALUE = 0,    /* an element with its value */
    HCT_DICOM_SEQUENCE = 1, /* a sequence begins; its items follow */
    HCT_DICOM_ITEM = 2,     /* an item of it begins; its elements follow */
    HCT_DICOM_END = 3       /* the item or sequence that was begun last ends */
};

typedef struct hct_dicom_part {
    int32_t kind;
    uint32_t tag;               /* group << 16 | element; of a value and a sequence */
    char vr[4];                 /* of a value: two letters */
    const unsigned char *bytes; /* of a value: little endian; made even by the component. NULL: empty */
    uint64_t n;
} hct_dicom_part;

typedef struct hct_dicom_writer {
    uint32_t magic, major, minor, size;
    const char *name, *version;
    /* The file of a data set of n parts, which holds SOP class and instance UID; release() takes *ret. Any thread.
     * HCT_EFORMAT: parts that make no data set; HCT_ENOMEM; why: m bytes. */
    hct_status (*write)(const hct_dicom_part *parts, uint64_t n, unsigned char **ret, uint64_t *ret_n, char *why,
                        size_t m);
    void (*release)(unsigned char *file);
} hct_dicom_writer;

#ifdef __cplusplus
}
#endif
#endif
