/* Small things done to text: whole-string numbers, growing text (the nearest name: hct/nearest.h). */
#ifndef SUPPORT_TEXT_H
#define SUPPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The whole of text is one number (surrounding blanks allowed); false leaves *ret alone. Point as decimal sign whatever
 * the locale. text_double also takes nan and inf. */
bool text_double(const char *text, double *ret);
bool text_int64(const char *text, int64_t *ret);
/* true/false, yes/no, on/off, 1/0 in any case. */
bool text_bool(const char *text, bool *ret);

/* The first byte that is no UTF-8; NULL: all is. */
const char *text_not_utf8(const char *text);

/* Shortest decimal that reads back as the same double: "0.1", "1e-05", "nan". buffer of 32. */
const char *text_of_double(double v, char buffer[32]);

/* A growing text. bytes is NUL-terminated and never NULL after the first call; free with free(bytes). Where memory runs
 * out, failed is set and the text stays as it was. */
typedef struct text_buffer {
    char *bytes;
    size_t length, capacity;
    bool failed;
} text_buffer;

void text_add(text_buffer *t, const char *bytes, size_t n);
void text_printf(text_buffer *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
