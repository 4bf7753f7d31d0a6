/* What headct wants to know of a DICOM file, as a plain record: read once, before the pixels, and never written to.
 *
 * A tag that is absent, one that is there and empty, and one that cannot be read are three things, and stay so: a
 * text is NULL, "" or what it says; a number has a state. Texts are UTF-8 (converted from the file's character set),
 * without blanks at both ends; several values are parted by a backslash, as in the file.
 *
 * A record holds the patient's id, dates, accession number and descriptions. None of them may enter a log, an error
 * or a table in clear; no message made in this room names any of them. The patient's name is not read at all. */
#ifndef DICOM_HEADER_H
#define DICOM_HEADER_H

#include "dicom/bytes.h"
#include "dicom/elements.h"
#include "dicom/syntax.h"

typedef enum dicom_state {
    DICOM_ABSENT, /* no such tag */
    DICOM_EMPTY,  /* the tag, without a value */
    DICOM_THERE,  /* and a value */
    DICOM_BAD     /* a value that is none: no number, or too long */
} dicom_state;

typedef struct dicom_number {
    double value; /* of several the first; 0 unless state is DICOM_THERE */
    dicom_state state;
} dicom_number;

/* X(member, tag, DICOM keyword, converted from the character set). Of Enhanced CT what stands in the shared functional
 * groups, or in those of the first frame, is meant where the data set itself lacks the tag. */
/* clang-format off */
#define DICOM_TEXTS(X)                                                                                                 \
    X(character_set,         0x00080005, "SpecificCharacterSet", 0)                                                    \
    X(image_type,            0x00080008, "ImageType", 0)                                                               \
    X(class_uid,             0x00080016, "SOPClassUID", 0)                                                             \
    X(instance_uid,          0x00080018, "SOPInstanceUID", 0)                                                          \
    X(study_date,            0x00080020, "StudyDate", 0)                                                               \
    X(series_date,           0x00080021, "SeriesDate", 0)                                                              \
    X(acquisition_date,      0x00080022, "AcquisitionDate", 0)                                                         \
    X(content_date,          0x00080023, "ContentDate", 0)                                                             \
    X(acquisition_datetime,  0x0008002a, "AcquisitionDateTime", 0)                                                     \
    X(study_time,            0x00080030, "StudyTime", 0)                                                               \
    X(series_time,           0x00080031, "SeriesTime", 0)                                                              \
    X(acquisition_time,      0x00080032, "AcquisitionTime", 0)                                                         \
    X(content_time,          0x00080033, "ContentTime", 0)                                                             \
    X(accession_number,      0x00080050, "AccessionNumber", 1)                                                         \
    X(modality,              0x00080060, "Modality", 0)                                                                \
    X(manufacturer,          0x00080070, "Manufacturer", 1)                                                            \
    X(study_description,     0x00081030, "StudyDescription", 1)                                                        \
    X(series_description,    0x0008103e, "SeriesDescription", 1)                                                       \
    X(model,                 0x00081090, "ManufacturerModelName", 1)                                                   \
    X(derivation,            0x00082111, "DerivationDescription", 1)                                                   \
    X(patient_id,            0x00100020, "PatientID", 1)                                                               \
    X(patient_birth_date,    0x00100030, "PatientBirthDate", 0)                                                        \
    X(patient_sex,           0x00100040, "PatientSex", 0)                                                              \
    X(patient_age,           0x00101010, "PatientAge", 0)                                                              \
    X(contrast_agent,        0x00180010, "ContrastBolusAgent", 1)                                                      \
    X(body_part,             0x00180015, "BodyPartExamined", 0)                                                        \
    X(scan_options,          0x00180022, "ScanOptions", 0)                                                             \
    X(protocol,              0x00181030, "ProtocolName", 1)                                                            \
    X(contrast_route,        0x00181040, "ContrastBolusRoute", 1)                                                      \
    X(kernel,                0x00181210, "ConvolutionKernel", 1)                                                       \
    X(patient_position,      0x00185100, "PatientPosition", 0)                                                         \
    X(study_uid,             0x0020000d, "StudyInstanceUID", 0)                                                        \
    X(series_uid,            0x0020000e, "SeriesInstanceUID", 0)                                                       \
    X(study_id,              0x00200010, "StudyID", 1)                                                                 \
    X(frame_of_reference,    0x00200052, "FrameOfReferenceUID", 0)                                                     \
    X(photometric,           0x00280004, "PhotometricInterpretation", 0)                                               \
    X(rescale_type,          0x00281054, "RescaleType", 0)                                                             \
    X(lossy,                 0x00282110, "LossyImageCompression", 0)

/* X(member, tag, DICOM keyword) */
#define DICOM_NUMBERS(X)                                                                                               \
    X(kvp,                   0x00180060, "KVP")                                                                        \
    X(slice_distance,        0x00180088, "SpacingBetweenSlices")                                                       \
    X(reconstruction_mm,     0x00181100, "ReconstructionDiameter")                                                     \
    X(series_number,         0x00200011, "SeriesNumber")                                                               \
    X(instance_number,       0x00200013, "InstanceNumber")                                                             \
    X(samples,               0x00280002, "SamplesPerPixel")                                                            \
    X(planar,                0x00280006, "PlanarConfiguration")                                                        \
    X(number_of_frames,      0x00280008, "NumberOfFrames")                                                             \
    X(rows,                  0x00280010, "Rows")                                                                       \
    X(columns,               0x00280011, "Columns")                                                                    \
    X(bits_allocated,        0x00280100, "BitsAllocated")                                                              \
    X(bits_stored,           0x00280101, "BitsStored")                                                                 \
    X(high_bit,              0x00280102, "HighBit")                                                                    \
    X(pixel_representation,  0x00280103, "PixelRepresentation")                                                        \
    X(padding,               0x00280120, "PixelPaddingValue")                                                          \
    X(padding_limit,         0x00280121, "PixelPaddingRangeLimit")

/* X(member, tag, DICOM keyword): those that may differ from frame to frame */
#define DICOM_FRAME_NUMBERS(X)                                                                                         \
    X(thickness,             0x00180050, "SliceThickness")                                                             \
    X(tilt,                  0x00181120, "GantryDetectorTilt")                                                         \
    X(acquisition,           0x00200012, "AcquisitionNumber")                                                          \
    X(temporal,              0x00200100, "TemporalPositionIdentifier")                                                 \
    X(intercept,             0x00281052, "RescaleIntercept")                                                           \
    X(slope,                 0x00281053, "RescaleSlope")
/* clang-format on */

/* One image: the file's only one, or a frame of Enhanced CT with what its functional groups say laid over what all
 * frames share. Vectors are in millimetres in DICOM's patient system: left, posterior, superior. */
typedef struct dicom_frame {
    dicom_state position_state, orientation_state, spacing_state;
    double position[3];       /* ImagePositionPatient: the centre of the first pixel */
    double row[3], column[3]; /* ImageOrientationPatient: along a row, and along a column */
    double spacing[2];        /* PixelSpacing: from row to row, and from column to column */
#define X(member, tag, keyword) dicom_number member;
    DICOM_FRAME_NUMBERS(X)
#undef X
    const char *type;  /* FrameType, where a frame has one of its own; else NULL */
    const char *stack; /* StackID */
} dicom_frame;

typedef struct dicom_header {
#define X(member, tag, keyword, converted) const char *member;
    DICOM_TEXTS(X)
#undef X
#define X(member, tag, keyword) dicom_number member;
    DICOM_NUMBERS(X)
#undef X
    int contrast_items;  /* of ContrastBolusAgentSequence */
    int64_t n_frames;    /* images in the file: NumberOfFrames, else 1 */
    int64_t n_described; /* those in frames[]: n_frames, or 1 where a file of several says nothing of each */
    dicom_frame *frames; /* n_described of them; never NULL after dicom_header_read, whatever it returned */

    const char *syntax_uid;     /* as the file says; NULL: it does not, and the syntax was guessed from its bytes */
    const dicom_syntax *syntax; /* NULL: one that DICOM does not know */
    bool is_directory;          /* a DICOMDIR: a table of contents */
    bool has_preamble;
    bool has_pixels;         /* PixelData was found */
    dicom_encoding encoding; /* of the data set, as it really is */
    uint64_t deflated_at;    /* of a deflated file: its data set's start; places from there on are as inflated */
    uint64_t pixels_at;      /* of the value of PixelData */
    uint32_t pixels_length;  /* as told; DICOM_UNDEFINED_LENGTH where encapsulated */
    uint64_t pixels_missing; /* bytes by which the file is too short for it (1: too short, of a deflated file) */

    struct dicom_chunk *chunks; /* of the texts */
} dicom_header;

/* Reads the record of an opened file. HCT_ENOTFOUND: no DICOM file; HCT_EFORMAT: one whose header is damaged, or ends
 * early; *ret then holds what stood before the damage. Free *ret in any case. A file without preamble is DICOM where
 * it begins with elements of group 2 or 8. Pixels are not looked at. */
hct_status dicom_header_read(dicom_bytes *bytes, dicom_header *ret, hct_err *err);
/* The same of a file by its path. HCT_EIO: it cannot be read. */
hct_status dicom_header_of(const char *path, dicom_header *ret, hct_err *err);
void dicom_header_free(dicom_header *h);

/* The frame i < n_frames: of a file that does not describe each, the one description there is. */
static inline const dicom_frame *dicom_frame_at(const dicom_header *h, int64_t i) {
    return &h->frames[i < h->n_described ? i : 0];
}
/* Value i (from 0) of a text of several, without blanks at both ends, into a buffer of n bytes, cut where it is longer;
 * false where there is none. */
bool dicom_value(const char *text, int i, char *buffer, size_t n);
/* Whether one of the values is that word, in any case. */
bool dicom_has_value(const char *text, const char *word);

/* A record as bytes that any later headct of the same version reads back, for a cache; the caller's to free. NULL: no
 * memory. */
unsigned char *dicom_header_pack(const dicom_header *h, size_t *ret_n);
/* HCT_EVERSION: of another version; HCT_EFORMAT: damaged. Free *ret in any case. */
hct_status dicom_header_unpack(const unsigned char *bytes, size_t n, dicom_header *ret, hct_err *err);

/* Keeps a copy of n bytes of text as long as the record; NULL: no memory. */
const char *dicom_header_keep(dicom_header *h, const char *text, size_t n);

#endif
