/* Small things done to text: whole-string numbers, growing text (the nearest name: hct/nearest.h). */
#ifndef SUPPORT_TEXT_H
#define SUPPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hct/io.h"

/* The whole of text is one number (surrounding blanks allowed); false leaves *ret alone. Point as decimal sign whatever
 * the locale. text_double also takes nan and inf. */
bool text_double(const char *text, double *ret);
bool text_int64(const char *text, int64_t *ret);
/* A UID as DICOM has them (PS3.5 9.1): digits and dots, 64 at most. */
enum { TEXT_UID = 64 };
bool text_is_uid(const char *text);
/* true/false, yes/no, on/off, 1/0 in any case. */
bool text_bool(const char *text, bool *ret);

/* The first byte that is no UTF-8; NULL: all is. */
const char *text_not_utf8(const char *text);

/* A name as it is compared with others: blanks at both ends cut, in Unicode's normalisation form C, so that "e" with an
 * accent is one text whether it came as one character or two. What is no UTF-8 is only cut. The caller's to free;
 * NULL: no memory. */
char *text_plain(const char *text);

/* The first control character (C0, DEL, or C1 as UTF-8), which no name needs and terminals obey; NULL: none. */
const char *text_control(const char *text);

/* Shortest decimal that reads back as the same double: "0.1", "1e-05", "nan". buffer of 32. */
const char *text_of_double(double v, char buffer[32]);

/* A growing text. It starts as {0}. Memory that runs out at any time is kept, and comes out where the text is asked
 * for: its members are text.c's alone (make lint), so that a text with a part missing cannot be used by oversight. */
typedef struct text_buffer {
    char *bytes_;
    size_t length_, capacity_;
    bool failed_;
} text_buffer;

void text_add(text_buffer *t, const char *bytes, size_t n);
void text_printf(text_buffer *t, const char *fmt, ...) HCT_PRINTF(2, 3);
/* Adds text as HTML shows it, in an element or an attribute. */
void text_add_html(text_buffer *t, const char *text);
/* Adds bytes as base64 (RFC 4648, section 4). */
void text_add_base64(text_buffer *t, const unsigned char *bytes, size_t n);
/* As if memory had run out: for what a text's maker could not get. */
void text_fail(text_buffer *t);
/* Empties it; what ran out before is forgotten. */
void text_clear(text_buffer *t);
void text_free(text_buffer *t);

/* The whole text, NUL-terminated, borrowed until the next call. NULL and err where memory ran out: "WHAT: out of
 * memory". */
const char *text_get(const text_buffer *t, const char *what, hct_err *err);
/* The same, handed over to the caller (free); t is empty afterwards. */
char *text_take(text_buffer *t, const char *what, hct_err *err);
/* What there is of it, "" where nothing: for messages alone. */
const char *text_so_far(const text_buffer *t);
/* Bytes added so far. */
size_t text_length(const text_buffer *t);
/* HCT_ENOMEM where memory ran out. */
hct_status text_check(const text_buffer *t, const char *what, hct_err *err);
/* Makes it the whole of a file. HCT_ENOMEM where memory ran out, and then nothing is written. */
hct_status text_save(const text_buffer *t, const char *path, hct_err *err);
/* Appends it to a file; HCT_ENOMEM where memory ran out: give the file up then (hct_outfile_discard). */
hct_status text_write(const text_buffer *t, hct_outfile *f, const char *what, hct_err *err);

#endif
