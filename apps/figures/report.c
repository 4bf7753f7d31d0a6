/* An HTML report that stands in one file. */
#include "figures/report.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"
#include "support/sha256.h"
#include "support/text.h"

/* Light and dark by what the reader's system says; plots keep their white ground. */
static const char STYLE[] =
    ":root{color-scheme:light "
    "dark;--ink:#222;--soft:#595959;--ground:#f6f7f8;--page:#fff;--line:#d5d5d5;--link:#0b5cad;"
    "--note:#fff6e0}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--soft:#b3b3b3;--ground:#16181a;--page:#1f2225;--line:#444;"
    "--link:#8ab8ff;--note:#3a3115}}"
    "body{font:16px/1.5 system-ui,'DejaVu Sans',sans-serif;color:var(--ink);background:var(--ground);margin:0}"
    "main{max-width:60rem;margin:0 auto;padding:2rem 2.5rem 4rem;background:var(--page)}"
    "h1{font-size:1.7rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}"
    "h3{font-size:1.05rem;margin:1.6rem 0 .4rem}a{color:var(--link)}nav ul{columns:2;padding-left:1.2rem}"
    ".subtitle{color:var(--soft);margin:0 0 1.5rem}"
    ".note{background:var(--note);border-left:4px solid #d9a400;padding:.6rem 1rem}"
    ".result{font-size:1.08rem;border-left:4px solid #0072b2;padding:.3rem 1rem;margin:1rem 0}"
    ".table{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse}"
    "caption{text-align:left;color:var(--soft);padding-bottom:.3rem}"
    "th,td{padding:.25rem .8rem;border-bottom:1px solid var(--line);text-align:left}thead th{border-bottom-width:2px}"
    "table.numbers th+th,table.numbers td{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"
    "figure{margin:1.2rem 0}figure.half{display:inline-block;width:49%;vertical-align:top}"
    "figure img{max-width:100%;height:auto;background:#fff}figcaption{color:var(--soft);font-size:.92rem}"
    "pre{background:var(--ground);padding:1rem;overflow-x:auto;font-size:.85rem}"
    ".viewer{border:1px solid var(--line);padding:.6rem;margin:1.2rem 0}.viewer .title{margin:0 0 "
    ".4rem;font-weight:600}"
    ".viewer .bar{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;align-items:center;margin-bottom:.6rem}"
    ".viewer "
    ".planes{display:grid;grid-template-columns:repeat(3,1fr);gap:.6rem;align-items:end;background:#000;color:#fff;"
    "padding:.5rem}.viewer canvas{width:100%;display:block;touch-action:none}"
    ".viewer canvas:focus-visible{outline:3px solid #56b4e9}.viewer .planes label{display:block;font-size:.85rem}"
    ".viewer .planes input{width:100%;margin:0}.viewer .keys,.viewer output{color:var(--soft);font-size:.85rem}"
    ".viewer:not(.ready) .planes{display:none}"
    "footer{margin-top:3rem;color:var(--soft);font-size:.85rem}"
    "@media(max-width:40rem){main{padding:1rem}figure.half{width:100%}.viewer .planes{grid-template-columns:1fr}nav "
    "ul{columns:1}}"
    "@media print{:root{color-scheme:light}body,main{background:#fff;color:#000}main{padding:0}nav{display:none}"
    "figure,table{break-inside:avoid}}";

/* Nothing fetched; of scripts the page's own alone, told by its hash, where it has one. */
static const char POLICY[] =
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
    "'unsafe-inline'";

struct report {
    text_buffer head, contents, html; /* from <title> to the title and lead; links to headings; what follows them */
    const char *script;               /* NULL: none */
    size_t headings;
    hct_err err; /* the first one */
};

static void escaped(report *r, const char *text) { text_add_html(&r->html, text); }

static void raw(report *r, const char *html) { text_add(&r->html, html, strlen(html)); }

static void element(report *r, const char *open, const char *text, const char *close) {
    raw(r, open);
    escaped(r, text);
    raw(r, close);
}

report *report_new(const char *title) {
    report *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    element(r, "<title>", title, "</title><style>");
    raw(r, STYLE);
    element(r, "</style></head>\n<body><main>\n<h1>", title, "</h1>\n");
    r->head = r->html;
    r->html = (text_buffer){0};
    return r;
}

void report_subtitle(report *r, const char *text) {
    if (!r) return;
    text_buffer body = r->html;
    r->html = r->head;
    element(r, "<p class=\"subtitle\">", text, "</p>\n");
    r->head = r->html;
    r->html = body;
}

/* A heading, and its line in the contents. */
static void heading(report *r, int level, const char *text) {
    char open[48];
    if (!r) return;
    snprintf(open, sizeof open, "<h%d id=\"part%zu\">", level, ++r->headings);
    element(r, open, text, level == 2 ? "</h2>\n" : "</h3>\n");
    text_buffer body = r->html;
    r->html = r->contents;
    snprintf(open, sizeof open, "<li><a href=\"#part%zu\">", r->headings);
    element(r, open, text, "</a></li>\n");
    r->contents = r->html;
    r->html = body;
}

void report_heading(report *r, const char *text) { heading(r, 2, text); }
void report_subheading(report *r, const char *text) { heading(r, 3, text); }

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

void report_result(report *r, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    formatted(r, "<p class=\"result\">", fmt, ap);
    va_end(ap);
}

void report_lead(report *r, const char *fmt, ...) {
    va_list ap;
    if (!r) return;
    text_buffer body = r->html;
    r->html = r->head;
    va_start(ap, fmt);
    formatted(r, "<p class=\"result\">", fmt, ap);
    va_end(ap);
    r->head = r->html;
    r->html = body;
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
    element(r, "<div class=\"table\" role=\"region\" tabindex=\"0\" aria-label=\"", caption ? caption : "table", "\">");
    raw(r, head ? "<table class=\"numbers\">" : "<table>");
    if (caption) element(r, "<caption>", caption, "</caption>");
    if (head) {
        raw(r, "<thead><tr>");
        for (size_t c = 0; c < columns; c++) element(r, "<th scope=\"col\">", head[c], "</th>");
        raw(r, "</tr></thead>\n");
    }
    raw(r, "<tbody>");
    for (size_t i = 0; i < rows; i++) {
        raw(r, "<tr>");
        for (size_t c = 0; c < columns; c++) {
            const char *cell = cells[i * columns + c];
            element(r, c ? "<td>" : "<th scope=\"row\">", cell, c ? "</td>" : "</th>");
        }
        raw(r, "</tr>\n");
    }
    raw(r, "</tbody></table></div>\n");
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

/* As a data URI: an SVG's own ids, styles and links stay inside it. */
static hct_status put_picture(report *r, const char *path, const hct_mapped *m, bool svg, const char *caption,
                              hct_err *err) {
    if (svg && !memmem(m->bytes, m->size, "<svg", 4)) return hct_fail(err, HCT_EFORMAT, "%s: is not an SVG", path);
    if (!svg && (m->size < 8 || memcmp(m->bytes, "\x89PNG\r\n\x1a\n", 8) != 0))
        return hct_fail(err, HCT_EFORMAT, "%s: is not a PNG", path);
    element(r, "<img alt=\"", caption, svg ? "\" src=\"data:image/svg+xml;base64," : "\" src=\"data:image/png;base64,");
    text_add_base64(&r->html, m->bytes, m->size);
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
    put_picture(r, path, &m, svg, caption, &r->err);
    element(r, "<figcaption>", caption, "</figcaption></figure>\n");
    hct_unmap_file(&m);
}

void report_opening(report *r) {
    if (!r || r->err.code < 0) return;
    const char *text = text_get(&r->html, "a report", &r->err);
    if (text) text_add(&r->head, text, text_length(&r->html));
    text_free(&r->html);
    r->html = (text_buffer){0};
}

void report_folded(report *r, const char *title, const char *text) {
    if (!r) return;
    element(r, "<details><summary>", title, "</summary><pre>");
    element(r, "", text, "</pre></details>\n");
}

void report_html(report *r, const text_buffer *html, const char *script) {
    if (!r || r->err.code < 0) return;
    const char *text = text_get(html, "a report", &r->err);
    if (text) raw(r, text);
    if (script) r->script = script;
}

const char *report_style(void) { return STYLE; }

hct_status report_policy_hash(text_buffer *policy, const char *text, hct_err *err) {
    char hex[SHA256_HEX];
    unsigned char digest[32];
    hct_status st = sha256_bytes(text, strlen(text), hex, err);
    if (st < 0) return st;
    for (int i = 0; i < 32; i++) {
        const char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
        digest[i] = (unsigned char)strtoul(two, NULL, 16);
    }
    text_printf(policy, "'sha256-");
    text_add_base64(policy, digest, sizeof digest);
    text_printf(policy, "'");
    return HCT_OK;
}

static hct_status put_policy(text_buffer *page, const char *script, hct_err *err) {
    text_printf(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    text_add(page, POLICY, sizeof POLICY - 1);
    if (script) text_printf(page, "; script-src ");
    hct_status st = script ? report_policy_hash(page, script, err) : HCT_OK;
    text_printf(page, "\">");
    return st;
}

/* Head, contents where there are several headings, body. */
static hct_status assemble(report *r, const char *path, text_buffer *page, hct_err *err) {
    hct_status st = put_policy(page, r->script, err);
    if (st < 0) return st;
    const text_buffer *const parts[] = {&r->head, &r->contents, &r->html};
    for (int i = 0; i < 3; i++) {
        const char *text = text_get(parts[i], path, err);
        if (!text) return HCT_ENOMEM;
        if (i == 1 && r->headings < 2) continue;
        text_printf(page, "%s%s%s", i == 1 ? "<nav aria-label=\"Contents\"><ul>\n" : "", text,
                    i == 1 ? "</ul></nav>\n" : "");
    }
    return HCT_OK;
}

hct_status report_write(report *r, const char *path, hct_err *err) {
    if (!r) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for a report", path);
    raw(r, "<footer>Made by headct. Not a medical device.</footer>\n</main>");
    if (r->script) {
        raw(r, "<script>");
        raw(r, r->script);
        raw(r, "</script>");
    }
    raw(r, "</body></html>\n");
    text_buffer page = {0};
    hct_status status = r->err.code < 0 ? hct_fail(err, r->err.code, "%s", r->err.msg) : assemble(r, path, &page, err);
    if (status == HCT_OK) status = text_save(&page, path, err);
    text_free(&page);
    report_discard(r);
    return status;
}

void report_discard(report *r) {
    if (!r) return;
    text_free(&r->head);
    text_free(&r->contents);
    text_free(&r->html);
    free(r);
}
