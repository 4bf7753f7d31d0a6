/* What cJSON lets pass and a file format must not. */
#ifndef CORE_JSON_CHECK_H
#define CORE_JSON_CHECK_H

#include <stddef.h>

/* Of n bytes that cJSON parses: where text that is no UTF-8, a control character or \u0000 in a string, or a number
 * other than plain digits (no sign, point, exponent, leading zero) stands, and what it is in *ret_what. n: nowhere. */
size_t json_check(const char *json, size_t n, const char **ret_what);

#endif
