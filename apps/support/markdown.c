/* Text of others in Markdown: escaped, or fenced. */
#include "support/markdown.h"

#include <string.h>

static void put_control(text_buffer *out, unsigned char c) {
    if (c == '\n' || c == '\r' || c == '\t') text_add(out, " ", 1);
    else text_printf(out, "\\x%02x", c);
}

void markdown_text(text_buffer *out, const char *text) {
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 32 || *c == 127) put_control(out, (unsigned char)*c);
        else if (*c == '<') text_add(out, "&lt;", 4);
        else if (*c == '>') text_add(out, "&gt;", 4);
        else if (*c == '&') text_add(out, "&amp;", 5);
        else if (strchr("\\`*_[]|#!", *c)) text_printf(out, "\\%c", *c);
        else text_add(out, c, 1);
    }
}

/* Code spans know no escapes: a backtick, and a bar, which would end a cell, are shown as others of their kind. */
void markdown_code(text_buffer *out, const char *text) {
    text_add(out, "`", 1);
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 32 || *c == 127) put_control(out, (unsigned char)*c);
        else if (*c == '`') text_add(out, "'", 1);
        else if (*c == '|') text_add(out, "\xc2\xa6", 2); /* broken bar */
        else text_add(out, c, 1);
    }
    text_add(out, "`", 1);
}

void markdown_block(text_buffer *out, const char *language, const char *text) {
    size_t longest = 2, n = strlen(text);
    for (const char *c = text; *c; c++) {
        size_t run = strspn(c, "`");
        if (run > longest) longest = run;
        if (run) c += run - 1;
    }
    for (size_t i = 0; i <= longest; i++) text_add(out, "`", 1);
    text_printf(out, "%s\n", language);
    text_add(out, text, n);
    if (n && text[n - 1] != '\n') text_add(out, "\n", 1);
    for (size_t i = 0; i <= longest; i++) text_add(out, "`", 1);
    text_add(out, "\n", 1);
}
