/* The table of transfer syntaxes. */
#include "dicom/syntax.h"

#include <stddef.h>
#include <string.h>

#define PLAIN(uid, name, implicit, big, deflated)                                                                      \
    { uid, name, DICOM_PLAIN, implicit, big, deflated, false }
#define PACKED(uid, name, packing, lossy)                                                                              \
    { "1.2.840.10008.1.2." uid, name, packing, false, false, false, lossy }

static const dicom_syntax table[] = {
    PLAIN("1.2.840.10008.1.2", "implicit little endian", true, false, false),
    PLAIN("1.2.840.10008.1.2.1", "explicit little endian", false, false, false),
    PLAIN("1.2.840.10008.1.2.1.99", "deflated explicit little endian", false, false, true),
    PLAIN("1.2.840.10008.1.2.2", "explicit big endian", false, true, false),
    PACKED("4.50", "JPEG baseline", DICOM_JPEG, true),
    PACKED("4.51", "JPEG extended", DICOM_JPEG, true),
    PACKED("4.57", "JPEG lossless", DICOM_JPEG_LOSSLESS, false),
    PACKED("4.70", "JPEG lossless, first-order prediction", DICOM_JPEG_LOSSLESS, false),
    PACKED("4.80", "JPEG-LS lossless", DICOM_JPEG_LS, false),
    PACKED("4.81", "JPEG-LS near-lossless", DICOM_JPEG_LS, true),
    PACKED("4.90", "JPEG 2000 lossless", DICOM_JPEG_2000, false),
    PACKED("4.91", "JPEG 2000", DICOM_JPEG_2000, true),
    PACKED("5", "RLE", DICOM_RLE, false),
    PACKED("4.92", "JPEG 2000 multi-component lossless", DICOM_OTHER, false),
    PACKED("4.93", "JPEG 2000 multi-component", DICOM_OTHER, true),
    PACKED("4.94", "JPIP referenced", DICOM_OTHER, false),
    PACKED("4.95", "JPIP referenced, deflated", DICOM_OTHER, false),
    PACKED("4.100", "MPEG-2", DICOM_OTHER, true),
    PACKED("4.102", "MPEG-4", DICOM_OTHER, true),
    PACKED("4.107", "HEVC", DICOM_OTHER, true),
    PACKED("4.110", "JPEG XL lossless", DICOM_OTHER, false),
    PACKED("4.112", "JPEG XL", DICOM_OTHER, true),
    PACKED("4.201", "High-Throughput JPEG 2000 lossless", DICOM_OTHER, false),
    PACKED("4.202", "High-Throughput JPEG 2000 lossless, RPCL", DICOM_OTHER, false),
    PACKED("4.203", "High-Throughput JPEG 2000", DICOM_OTHER, true),
};

const dicom_syntax *dicom_syntax_find(const char *uid) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].uid, uid) == 0) return &table[i];
    return NULL;
}
