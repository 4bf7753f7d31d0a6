/* hct/utf8.h: what is UTF-8, for files that must hold nothing else. */
#ifndef HCT_UTF8_H
#define HCT_UTF8_H

#include <stddef.h>

/* Bytes of the UTF-8 sequence at text, of n > 0 that are there (RFC 3629: shortest form, no surrogates); 0 where
 * there is none. */
static inline size_t hct_utf8_length(const char *text, size_t n) {
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) return 1;
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    int bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
              (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : length;
}

#endif
