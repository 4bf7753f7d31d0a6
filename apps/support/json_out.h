/* JSON, written. Memory that runs out at any time is kept, and comes out where the text is asked for, so that no
 * JSON with a part missing can be written by oversight. (It is read by cJSON.)
 *
 *   json_out j = {0};                      or {.pretty = 1}
 *   json_object(&j, NULL);
 *   json_text(&j, "format", "headct-predictions/1");
 *   json_array(&j, "tasks");
 *   json_text(&j, NULL, "IPH");
 *   json_end(&j);
 *   json_end(&j);
 *   char *text = json_take(&j, path, &err);  or json_save(&j, path, &err)
 *
 * key: the member's name inside an object, NULL inside an array and at the top. */
#ifndef SUPPORT_JSON_OUT_H
#define SUPPORT_JSON_OUT_H

#include "support/text.h"

enum { JSON_DEPTH = 16 };

typedef struct json_out {
    bool pretty; /* a member a line */
    text_buffer text;
    int depth;
    struct {
        bool array, begun;
    } level[JSON_DEPTH];
} json_out;

void json_object(json_out *j, const char *key);
void json_array(json_out *j, const char *key);
/* Ends the innermost object or array. */
void json_end(json_out *j);

/* value NULL: null. Quotes, backslashes and control characters are escaped; what is no UTF-8 becomes U+FFFD. */
void json_text(json_out *j, const char *key, const char *value);
/* Reads back as the same double; NaN and infinities: null, as JSON has none. */
void json_number(json_out *j, const char *key, double value);
void json_whole(json_out *j, const char *key, int64_t value);
void json_bool(json_out *j, const char *key, bool value);
void json_null(json_out *j, const char *key);

/* The whole text, the caller's (free); j is empty afterwards. NULL and err ("WHAT: out of memory"). */
char *json_take(json_out *j, const char *what, hct_err *err);
/* Makes it, and a line end, the whole of a file. j is empty afterwards. */
hct_status json_save(json_out *j, const char *path, hct_err *err);
void json_free(json_out *j);

/* A JSON string, quotes included. */
void json_quote(text_buffer *out, const char *value);

#endif
