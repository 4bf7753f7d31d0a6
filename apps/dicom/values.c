/* Character sets by iconv, decimal and binary numbers. */
#include "dicom/values.h"

#include <iconv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hct/utf8.h"

/* iconv's name of what SpecificCharacterSet declares; PS3.3 C.12.1.1.2. Of several the one that the others extend. The
 * Korean and Chinese sets of ISO 2022 are their EUC forms with an escape sequence at the start, which is dropped. */
static const char *charset_of(const char *declared, bool *drop_escapes) {
    static const struct {
        const char *part, *name;
        bool drop;
    } table[] = {
        {"IR 149", "EUC-KR", true},
        {"IR 58", "GBK", true},
        {"IR 87", "ISO-2022-JP-2", false},
        {"IR 159", "ISO-2022-JP-2", false},
        {"ISO_IR 13", "SHIFT_JIS", false},
        {"GB18030", "GB18030", false},
        {"GBK", "GBK", false},
        {"IR 192", "UTF-8", false},
        {"IR 101", "ISO-8859-2", true},
        {"IR 109", "ISO-8859-3", true},
        {"IR 110", "ISO-8859-4", true},
        {"IR 144", "ISO-8859-5", true},
        {"IR 127", "ISO-8859-6", true},
        {"IR 126", "ISO-8859-7", true},
        {"IR 138", "ISO-8859-8", true},
        {"IR 148", "ISO-8859-9", true},
        {"IR 166", "TIS-620", true},
        {"IR 13", "SHIFT_JIS", true},
    };
    *drop_escapes = true;
    for (size_t i = 0; declared && i < sizeof table / sizeof *table; i++) {
        const char *found = strstr(declared, table[i].part);
        char after = found ? found[strlen(table[i].part)] : '0';
        if (!found || (after >= '0' && after <= '9')) continue;
        *drop_escapes = table[i].drop;
        return table[i].name;
    }
    return NULL;
}

/* ESC, any of 0x20 to 0x2f, one final byte. */
static size_t without_escapes(char *text, size_t n) {
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] != 27) {
            text[to++] = text[i];
            continue;
        }
        while (i + 1 < n && text[i + 1] >= 0x20 && text[i + 1] <= 0x2f) i++;
        i++;
    }
    return to;
}

static size_t convert(const char *name, char *in, size_t n, char *out, size_t size) {
    iconv_t to = iconv_open("UTF-8", name);
    if (to == (iconv_t)-1) return 0;
    char *at = out;
    size_t left = size, failed = iconv(to, &in, &n, &at, &left);
    if (failed != (size_t)-1) failed = iconv(to, NULL, NULL, &at, &left);
    iconv_close(to);
    return failed == (size_t)-1 ? 0 : size - left;
}

static size_t from_latin1(const char *in, size_t n, char *out) {
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)in[i];
        if (c >= 0x80) out[to++] = (char)(0xc0 | c >> 6);
        out[to++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    return to;
}

static bool is_utf8(const char *text, size_t n) {
    for (size_t step; n; text += step, n -= step)
        if (!(step = hct_utf8_length(text, n))) return false;
    return true;
}

void dicom_text_of(const unsigned char *bytes, size_t n, const char *character_set, bool converted, char *out,
                   size_t out_size) {
    char in[DICOM_LONGEST_VALUE], text[4 * DICOM_LONGEST_VALUE];
    bool plain = true, drop;
    if (n > sizeof in) n = sizeof in;
    for (size_t i = 0; i < n; i++) {
        in[i] = (char)bytes[i];
        plain = plain && bytes[i] < 0x80 && bytes[i] != 27;
    }
    size_t length = 0;
    if (!plain) {
        const char *name = converted ? charset_of(character_set, &drop) : NULL;
        if (!name) drop = true;
        if (drop) n = without_escapes(in, n);
        if (name) length = convert(name, in, n, text, sizeof text);
        if (!length && is_utf8(in, n)) plain = true;
        else if (!length) length = from_latin1(in, n, text);
    }
    if (plain) {
        memcpy(text, in, n);
        length = n;
    }
    size_t start = 0;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) text[i] = ' ';
    while (length > start && text[length - 1] == ' ') length--;
    while (start < length && text[start] == ' ') start++;
    length -= start;
    if (length > out_size - 1) {
        length = out_size - 1;
        while (length && ((unsigned char)text[start + length] & 0xc0) == 0x80) length--; /* not within a letter */
    }
    memcpy(out, text + start, length);
    out[length] = 0;
}

static int decimals(const unsigned char *bytes, size_t n, double *ret, int most) {
    char text[DICOM_LONGEST_VALUE], *at = text;
    int found = 0;
    if (n > sizeof text - 1) return -1;
    memcpy(text, bytes, n);
    text[n] = 0;
    for (size_t i = 0; i < n; i++)
        if (!text[i]) text[i] = ' ';
    while (found < most) {
        char *end, *next = at + strcspn(at, "\\");
        bool last = *next == 0;
        *next = 0;
        double v = strtod(at, &end);
        bool hex = strpbrk(at, "xX") != NULL; /* strtod's, not DICOM's */
        if (end == at || end[strspn(end, " ")] || hex || !isfinite(v)) return -1;
        ret[found++] = v;
        if (last) break;
        at = next + 1;
    }
    return found;
}

static double binary_at(const unsigned char *p, const char *vr, bool big) {
    union {
        uint32_t u;
        float f;
    } four;
    union {
        uint64_t u;
        double d;
    } eight;
    if (memcmp(vr, "SS", 2) == 0) return (int16_t)dicom_u16(p, big);
    if (memcmp(vr, "UL", 2) == 0) return dicom_u32(p, big);
    if (memcmp(vr, "SL", 2) == 0) return (int32_t)dicom_u32(p, big);
    if (memcmp(vr, "FL", 2) == 0) {
        four.u = dicom_u32(p, big);
        return four.f;
    }
    if (memcmp(vr, "FD", 2) == 0) {
        uint64_t a = dicom_u32(p, big), b = dicom_u32(p + 4, big);
        eight.u = big ? a << 32 | b : b << 32 | a;
        return eight.d;
    }
    return dicom_u16(p, big); /* US, OW, and where the file does not say */
}

int dicom_numbers_of(const unsigned char *bytes, const dicom_element *e, bool binary, double *ret, int most) {
    static const char known[] = "US SS UL SL FL FD OW ";
    static const char size[] = "2  2  4  4  4  8  2  ";
    const char *vr = e->vr[0] ? e->vr : binary ? "US" : "DS";
    size_t each = 0;
    for (size_t i = 0; known[i]; i += 3)
        if (memcmp(known + i, vr, 2) == 0) each = (size_t)(size[i] - '0');
    if (binary && !each) each = 2;
    if (!each) return decimals(bytes, e->length, ret, most);
    int found = 0;
    for (size_t at = 0; found < most && at + each <= e->length; at += each, found++) {
        ret[found] = binary_at(bytes + at, vr, e->encoding.big);
        if (!isfinite(ret[found])) return -1;
    }
    return found ? found : -1;
}

bool dicom_value(const char *text, int i, char *buffer, size_t n) {
    for (; text && i > 0; i--) {
        text = strchr(text, '\\');
        if (text) text++;
    }
    if (!text) return false;
    size_t length = strcspn(text, "\\");
    while (length && *text == ' ') text++, length--;
    while (length && text[length - 1] == ' ') length--;
    if (length > n - 1) length = n - 1;
    memcpy(buffer, text, length);
    buffer[length] = 0;
    return true;
}

bool dicom_has_value(const char *text, const char *word) {
    char value[DICOM_LONGEST_VALUE];
    for (int i = 0; dicom_value(text, i, value, sizeof value); i++)
        if (strcasecmp(value, word) == 0) return true;
    return false;
}
