/* An HTML report that stands in one file. */
#include "figures/report.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"
#include "support/text.h"

static const char STYLE[] =
    "body{font:16px/1.5 system-ui,'DejaVu Sans',sans-serif;color:#222;background:#f6f7f8;margin:0}"
    "main{max-width:60rem;margin:0 auto;padding:2rem 2.5rem 4rem;background:#fff}"
    "h1{font-size:1.7rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;border-bottom:1px solid #ddd}"
    ".subtitle{color:#666;margin:0 0 1.5rem}"
    ".note{background:#fff6e0;border-left:4px solid #d9a400;padding:.6rem 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;color:#555;padding-bottom:.3rem}"
    "th,td{padding:.25rem .8rem;border-bottom:1px solid #e4e4e4;text-align:left}thead th{border-bottom:2px solid #bbb}"
    "table.numbers th+th,table.numbers td{text-align:right;font-variant-numeric:tabular-nums}"
    "figure{margin:1.2rem 0}figure.half{display:inline-block;width:49%;vertical-align:top}figure svg,figure "
    "img{max-width:100%;height:auto}figcaption{color:#555;font-size:.92rem}"
    "pre{background:#f6f7f8;padding:1rem;overflow-x:auto;font-size:.85rem}footer{margin-top:3rem;color:#777;font-size:."
    "85rem}"
    "@media print{body{background:#fff}main{padding:0}}";

struct report {
    text_buffer html;
    hct_err err; /* the first one */
};

static void escaped(report *r, const char *text) {
    for (const char *c = text; *c; c++) {
        const char *name = *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : *c == '&' ? "&amp;" : *c == '"' ? "&quot;" : NULL;
        if (name) text_add(&r->html, name, strlen(name));
        else text_add(&r->html, c, 1);
    }
}

static void raw(report *r, const char *html) { text_add(&r->html, html, strlen(html)); }

static void element(report *r, const char *open, const char *text, const char *close) {
    raw(r, open);
    escaped(r, text);
    raw(r, close);
}

report *report_new(const char *title) {
    report *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    raw(r, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    element(r, "<title>", title, "</title><style>");
    raw(r, STYLE);
    element(r, "</style></head>\n<body><main>\n<h1>", title, "</h1>\n");
    return r;
}

void report_subtitle(report *r, const char *text) {
    if (r) element(r, "<p class=\"subtitle\">", text, "</p>\n");
}

void report_heading(report *r, const char *text) {
    if (r) element(r, "<h2>", text, "</h2>\n");
}

void report_subheading(report *r, const char *text) {
    if (r) element(r, "<h3>", text, "</h3>\n");
}

static void formatted(report *r, const char *open, const char *fmt, va_list ap) {
    char *text = NULL;
    if (!r || r->err.code < 0) return;
    if (vasprintf(&text, fmt, ap) < 0) {
        hct_fail(&r->err, HCT_ENOMEM, "out of memory for a report");
        return;
    }
    element(r, open, text, "</p>\n");
    free(text);
}

void report_paragraph(report *r, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    formatted(r, "<p>", fmt, ap);
    va_end(ap);
}

void report_note(report *r, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    formatted(r, "<p class=\"note\">", fmt, ap);
    va_end(ap);
}

void report_table(report *r, const char *const *head, const char *const *cells, size_t rows, size_t columns,
                  const char *caption) {
    if (!r) return;
    raw(r, head ? "<table class=\"numbers\">" : "<table>");
    if (caption) element(r, "<caption>", caption, "</caption>");
    if (head) {
        raw(r, "<thead><tr>");
        for (size_t c = 0; c < columns; c++) element(r, "<th>", head[c], "</th>");
        raw(r, "</tr></thead>\n");
    }
    raw(r, "<tbody>");
    for (size_t i = 0; i < rows; i++) {
        raw(r, "<tr>");
        for (size_t c = 0; c < columns; c++) {
            const char *cell = cells[i * columns + c];
            element(r, c ? "<td>" : "<th>", cell, c ? "</td>" : "</th>");
        }
        raw(r, "</tr>\n");
    }
    raw(r, "</tbody></table>\n");
}

static void base64(report *r, const unsigned char *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v =
            (uint32_t)bytes[i] << 16 | (i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0) | (i + 2 < n ? bytes[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                        i + 2 < n ? digits[v & 63] : '='};
        text_add(&r->html, four, 4);
    }
}

/* Square plots (ROC curves) stand two in a row. */
static bool is_square(const hct_mapped *m) {
    const char *tag = memmem(m->bytes, m->size, "<svg", 4);
    char head[400] = "";
    size_t left = tag ? m->size - (size_t)(tag - (const char *)m->bytes) : 0;
    if (tag) memcpy(head, tag, left < sizeof head ? left : sizeof head - 1);
    const char *width = strstr(head, "width=\""), *height = strstr(head, "height=\"");
    return width && height && strtol(width + 7, NULL, 10) == strtol(height + 8, NULL, 10);
}

/* Without the XML declaration and DOCTYPE, which may not stand inside HTML. */
static hct_status put_svg(report *r, const char *path, const hct_mapped *m, hct_err *err) {
    const char *bytes = (const char *)m->bytes, *start = memmem(bytes, m->size, "<svg", 4);
    if (!start) return hct_fail(err, HCT_EFORMAT, "%s: is not an SVG", path);
    text_add(&r->html, start, m->size - (size_t)(start - bytes));
    return HCT_OK;
}

static hct_status put_png(report *r, const char *path, const hct_mapped *m, const char *caption, hct_err *err) {
    if (m->size < 8 || memcmp(m->bytes, "\x89PNG\r\n\x1a\n", 8) != 0)
        return hct_fail(err, HCT_EFORMAT, "%s: is not a PNG", path);
    element(r, "<img alt=\"", caption, "\" src=\"data:image/png;base64,");
    base64(r, m->bytes, m->size);
    raw(r, "\">");
    return HCT_OK;
}

void report_figure(report *r, const char *path, const char *caption) {
    if (!r || r->err.code < 0) return;
    hct_mapped m;
    if (hct_map_file(path, &m, &r->err) < 0) return;
    const char *ending = strrchr(path, '.');
    bool svg = ending && strcmp(ending, ".svg") == 0;
    raw(r, svg && is_square(&m) ? "<figure class=\"half\">" : "<figure>");
    if (svg) put_svg(r, path, &m, &r->err);
    else put_png(r, path, &m, caption, &r->err);
    element(r, "<figcaption>", caption, "</figcaption></figure>\n");
    hct_unmap_file(&m);
}

void report_folded(report *r, const char *title, const char *text) {
    if (!r) return;
    element(r, "<details><summary>", title, "</summary><pre>");
    element(r, "", text, "</pre></details>\n");
}

hct_status report_write(report *r, const char *path, hct_err *err) {
    if (!r) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for a report", path);
    raw(r, "<footer>Made by headct. Not a medical device.</footer>\n</main></body></html>\n");
    hct_status status = r->err.code < 0 ? hct_fail(err, r->err.code, "%s", r->err.msg) : text_save(&r->html, path, err);
    report_discard(r);
    return status;
}

void report_discard(report *r) {
    if (r) text_free(&r->html);
    free(r);
}
