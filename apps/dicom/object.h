/* A DICOM object in the making: its elements one after the other, in any order on each level, then a file.
 *
 *   dicom_object o = {0};
 *   object_text(&o, 0x00080060, "CS", "SR");
 *   object_sequence(&o, 0x0040a730), object_item(&o), ..., object_end(&o), object_end(&o);
 *   status = object_write(&o, path, &err);
 *   object_free(&o);
 *
 * Memory that runs out is remembered, and comes out of object_write. */
#ifndef DICOM_OBJECT_H
#define DICOM_OBJECT_H

#include "dicom/component.h"
#include "dicom/files.h"
#include "support/text.h"

enum { OBJECT_UID = TEXT_UID + 1 };

typedef struct dicom_object {
    text_buffer values;
    hct_dicom_part *parts; /* bytes: not set before object_write; n counts in values */
    size_t *at;            /* of each in values */
    size_t n, room;
    bool failed;
} dicom_object;

/* Adds what another holds. */
void object_append(dicom_object *o, const dicom_object *from);
/* Values: text as it is (UTF-8 is the caller's matter: ASCII alone fits every character set). */
void object_text(dicom_object *o, uint32_t tag, const char *vr, const char *text);
void object_bytes(dicom_object *o, uint32_t tag, const char *vr, const void *bytes, size_t n);
void object_u16(dicom_object *o, uint32_t tag, unsigned value);
void object_f64(dicom_object *o, uint32_t tag, double value);
/* A sequence, an item of it, the end of either. */
void object_sequence(dicom_object *o, uint32_t tag);
void object_item(dicom_object *o);
void object_end(dicom_object *o);
/* An empty sequence. */
void object_nothing(dicom_object *o, uint32_t tag);
/* An item that refers to an instance by its class and UID. */
void object_reference(dicom_object *o, const char *class_uid, const char *instance_uid);

/* What an object of the same study says of patient and study (PS3.3 C.7.1.1, C.7.2.1) and the character set, from a
 * file of it, byte for byte. */
hct_status object_copy_study(dicom_object *o, const pile_file *source, hct_err *err);
/* What headct's own objects say of their series, their equipment and themselves: modality, SOP class, UIDs, a series
 * number, a description, date and time of now. */
typedef struct object_series {
    const char *modality, *class_uid, *instance_uid, *series_uid, *description, *model, *model_serial;
    int series_number, instance_number;
} object_series;
void object_own_series(dicom_object *o, const object_series *s);

/* A UID made of texts: the same for the same ones ("2.25." and a UUID of version 8: the first 122 bits of a
 * SHA-256). */
hct_status object_uid(const char *const *texts, size_t n, char ret[OBJECT_UID], hct_err *err);
/* Whether a text can stand in every object: printable ASCII without a backslash. */
bool object_is_plain(const char *text);

/* Whole or not there. HCT_EDEVICE: the component is missing, no fault of the object's. */
hct_status object_write(const dicom_object *o, const char *path, hct_err *err);
void object_free(dicom_object *o);

#endif
