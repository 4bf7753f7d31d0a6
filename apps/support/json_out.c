/* JSON, written member by member into one text. */
#include "support/json_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/utf8.h"

void json_quote(text_buffer *out, const char *value) {
    text_add(out, "\"", 1);
    for (size_t n = strlen(value), step; n; value += step, n -= step) {
        unsigned char c = (unsigned char)*value;
        step = hct_utf8_length(value, n);
        if (!step) step = 1, text_add(out, "\xef\xbf\xbd", 3); /* U+FFFD */
        else if (c == '"' || c == '\\') text_printf(out, "\\%c", c);
        else if (c == '\n') text_add(out, "\\n", 2);
        else if (c == '\t') text_add(out, "\\t", 2);
        else if (c == '\r') text_add(out, "\\r", 2);
        else if (c < 32 || c == 127) text_printf(out, "\\u%04x", c);
        else text_add(out, value, step);
    }
    text_add(out, "\"", 1);
}

static void new_line(json_out *j) {
    if (j->pretty) text_printf(&j->text, "\n%*s", 2 * j->depth, "");
}

/* What stands before a value: a comma behind the last one, and the member's name. */
static void lead_in(json_out *j, const char *key) {
    if (!j->depth) return;
    if (j->level[j->depth - 1].begun) text_add(&j->text, ",", 1);
    j->level[j->depth - 1].begun = true;
    new_line(j);
    if (!key) return;
    json_quote(&j->text, key);
    text_add(&j->text, ": ", j->pretty ? 2 : 1);
}

static void open_level(json_out *j, const char *key, bool array) {
    lead_in(j, key);
    if (j->depth == JSON_DEPTH) abort(); /* nested deeper than anything we write */
    j->level[j->depth].array = array;
    j->level[j->depth++].begun = false;
    text_add(&j->text, array ? "[" : "{", 1);
}

void json_object(json_out *j, const char *key) { open_level(j, key, false); }
void json_array(json_out *j, const char *key) { open_level(j, key, true); }

void json_end(json_out *j) {
    bool begun = j->level[--j->depth].begun;
    if (begun) new_line(j);
    text_add(&j->text, j->level[j->depth].array ? "]" : "}", 1);
}

void json_text(json_out *j, const char *key, const char *value) {
    lead_in(j, key);
    if (value) json_quote(&j->text, value);
    else text_add(&j->text, "null", 4);
}

void json_number(json_out *j, const char *key, double value) {
    char digits[32];
    lead_in(j, key);
    text_printf(&j->text, "%s", isfinite(value) ? text_of_double(value, digits) : "null");
}

void json_whole(json_out *j, const char *key, int64_t value) {
    lead_in(j, key);
    text_printf(&j->text, "%lld", (long long)value);
}

void json_bool(json_out *j, const char *key, bool value) {
    lead_in(j, key);
    text_printf(&j->text, "%s", value ? "true" : "false");
}

void json_null(json_out *j, const char *key) { json_text(j, key, NULL); }

char *json_take(json_out *j, const char *what, hct_err *err) { return text_take(&j->text, what, err); }

hct_status json_save(json_out *j, const char *path, hct_err *err) {
    text_add(&j->text, "\n", 1);
    hct_status st = text_save(&j->text, path, err);
    json_free(j);
    return st;
}

void json_free(json_out *j) { text_free(&j->text); }
