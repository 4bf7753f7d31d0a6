/* The page itself: cards that can be sorted and filtered, in plain HTML. */
#include "qc/qc.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/index.h"
#include "imaging/nifti.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/text.h"

static const char HEAD[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
    "content=\"width=device-width, initial-scale=1\"><title>Scans</title><style>"
    "*{box-sizing:border-box}body{font:14px/1.45 system-ui,'DejaVu "
    "Sans',sans-serif;margin:0;background:#f6f7f8;color:#222}"
    "header{position:sticky;top:0;background:#fff;border-bottom:1px solid #ddd;padding:.7rem 1.2rem;z-index:1}"
    "h1{font-size:1.2rem;margin:0 1rem 0 0;display:inline}button,input{font:inherit;margin:0 .2rem;padding:.1rem .5rem}"
    "#cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr));gap:.8rem;padding:1.2rem}"
    ".card{background:#fff;border:1px solid #ddd;border-radius:4px;padding:.6rem}header span{color:#555}"
    ".card img{display:block;width:100%;height:8rem;object-fit:contain}"
    ".card h2{font-size:1rem;margin:.4rem 0 .1rem;overflow-wrap:anywhere}.card p{margin:.1rem 0;color:#555}"
    ".warn{border-left:5px solid #d9a400}.refused{border-left:5px solid #b3261e}.why{color:#222!important}"
    "</style></head>\n<body>";

static const char SCRIPT[] =
    "<script>const box=document.getElementById('cards');function order(key,down){const c=[...box.children];"
    "const v=e=>{const x=e.dataset[key];const n=parseFloat(x);return isNaN(n)?x:n};c.sort((a,b)=>{const "
    "x=v(a),y=v(b);const r=x===y?0:x===''?1:y===''?-1:(typeof x===typeof y?(x<y?-1:1):(typeof "
    "x==='number'?-1:1));return "
    "down?-r:r});c.forEach(e=>box.appendChild(e))}"
    "function only(text){const t=text.toLowerCase();[...box.children].forEach(e=>e.style.display="
    "e.textContent.toLowerCase().includes(t)?'':'none')}</script></body></html>\n";

/* A file's name in a link. */
static void url(text_buffer *t, const char *name) {
    for (const char *c = name; *c; c++)
        text_printf(t, isalnum((unsigned char)*c) || strchr("-_.", *c) ? "%c" : "%%%02X", (unsigned char)*c);
}

typedef struct page {
    dataset_index index;
    const char *dataset;
    text_buffer html;
    progress bar;
    int64_t done;
} page;

static const char *column(sqlite3_stmt *q, int i) {
    const char *text = (const char *)sqlite3_column_text(q, i);
    return text ? text : "";
}

static hct_status make_picture(const page *p, const char *id, const char *file, hct_err *err) {
    char *path = path_join(p->dataset, file);
    volume v = {0};
    hct_status s = path ? nifti_read(path, &v, err) : hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK) s = qc_picture(p->dataset, id, &v, err);
    volume_free(&v);
    free(path);
    return s;
}

/* What was found on it, and what it was. */
static hct_status add_findings(page *p, const char *id, hct_err *err) {
    sqlite3_stmt *q = index_query(&p->index, err,
                                  "SELECT f.word, f.sentence, f.weight FROM findings f JOIN items i ON i.n=f.item WHERE"
                                  " i.id=? AND f.weight>0 ORDER BY f.weight DESC, f.at",
                                  "s", id);
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(&p->index, q, err)) > 0) {
        text_printf(&p->html, "<p class=\"why\"><b>");
        text_add_html(&p->html, column(q, 0));
        text_printf(&p->html, "</b>: ");
        text_add_html(&p->html, column(q, 1));
        text_printf(&p->html, "</p>");
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

static const char *const shown[] = {"slices", "thickness mm", "kVp",          "kernel",      "tilt degrees",
                                    "age",    "sex",          "manufacturer", "source size", "source spacing mm"};

static hct_status add_tags(page *p, const char *id, hct_err *err) {
    sqlite3_stmt *q = index_query(&p->index, err,
                                  "SELECT t.key, t.value FROM tags t JOIN scans s ON s.n=t.scan WHERE s.id=? ORDER BY"
                                  " t.key",
                                  "s", id);
    int step = q ? 1 : HCT_EIO, n = 0;
    while (step > 0 && (step = index_step(&p->index, q, err)) > 0)
        for (size_t k = 0; k < sizeof shown / sizeof *shown; k++) {
            if (strcmp(shown[k], column(q, 0)) != 0) continue;
            text_printf(&p->html, n++ ? "; " : "<p>");
            text_add_html(&p->html, column(q, 0));
            text_printf(&p->html, " ");
            text_add_html(&p->html, column(q, 1));
        }
    if (n) text_printf(&p->html, "</p>");
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

/* id, file, reason, warnings, thickness, age */
static hct_status add_card(page *p, sqlite3_stmt *q, hct_err *err) {
    char *id = strdup(column(q, 0)), *picture = NULL;
    const char *file = column(q, 1), *reason = column(q, 2);
    hct_status s = HCT_OK;
    if (!id || asprintf(&picture, "%s/qc/%s.png", p->dataset, id) < 0) picture = NULL;
    if (!picture) s = hct_fail(err, HCT_ENOMEM, "no memory for the page");
    if (s == HCT_OK && *file && !path_is_file(picture)) s = make_picture(p, id, file, err);
    if (s == HCT_OK) {
        int64_t warnings = sqlite3_column_int64(q, 3) + (*reason ? 1000 : 0);
        text_printf(&p->html, "<div class=\"card%s\" data-name=\"", *reason ? " refused" : warnings ? " warn" : "");
        text_add_html(&p->html, id);
        text_printf(&p->html, "\" data-warning=\"%lld\" data-thickness=\"%s\" data-age=\"%s\">", (long long)warnings,
                    column(q, 4), column(q, 5));
        if (path_is_file(picture)) {
            text_printf(&p->html, "<img loading=\"lazy\" alt=\"%s of ", *reason ? "A slice" : "Three planes");
            text_add_html(&p->html, id);
            text_printf(&p->html, "\" src=\"qc/");
            url(&p->html, id);
            text_printf(&p->html, ".png\">");
        }
        text_printf(&p->html, "<h2>");
        text_add_html(&p->html, id);
        text_printf(&p->html, "</h2>");
        if (*reason) {
            text_printf(&p->html, "<p class=\"why\">left out: ");
            text_add_html(&p->html, reason);
            text_printf(&p->html, "</p>");
        }
        s = add_findings(p, id, err);
        if (s == HCT_OK) s = add_tags(p, id, err);
        text_printf(&p->html, "</div>\n");
    }
    free(id);
    free(picture);
    return s;
}

static const char CARDS[] =
    "SELECT s.id, s.file, NULL, (SELECT count(*) FROM findings f JOIN items i ON i.n=f.item WHERE i.id=s.id AND"
    " f.weight=1), (SELECT value FROM tags WHERE scan=s.n AND key='thickness mm'), (SELECT value FROM tags WHERE"
    " scan=s.n AND key='age') FROM scans s UNION ALL SELECT id, NULL, reason, 0, '', '' FROM items WHERE reason IS NOT"
    " NULL AND id NOT IN (SELECT id FROM scans) ORDER BY 1";

static hct_status add_cards(page *p, int64_t *ret_scans, int64_t *ret_left_out, hct_err *err) {
    sqlite3_stmt *q = index_query(&p->index, err, CARDS, "");
    int step = q ? 1 : HCT_EIO;
    *ret_scans = *ret_left_out = 0;
    while (step > 0 && (step = index_step(&p->index, q, err)) > 0) {
        ++*(sqlite3_column_type(q, 1) == SQLITE_NULL ? ret_left_out : ret_scans);
        hct_status s = add_card(p, q, err);
        if (s < 0) step = s;
        progress_show(&p->bar, ++p->done, "");
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

static hct_status count(page *p, int64_t *ret, hct_err *err) {
    sqlite3_stmt *q = index_query(&p->index, err,
                                  "SELECT (SELECT count(*) FROM scans)+(SELECT count(*) FROM items WHERE reason IS NOT"
                                  " NULL AND id NOT IN (SELECT id FROM scans))",
                                  "");
    int step = q ? index_step(&p->index, q, err) : HCT_EIO;
    if (step > 0) *ret = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

hct_status qc_page(const char *dataset, FILE *out, hct_err *err) {
    page p = {.dataset = dataset};
    text_buffer whole = {0};
    int64_t scans = 0, left_out = 0, n = 0;
    char *path = path_join(dataset, "qc.html");
    hct_status s = path ? index_open(&p.index, dataset, 0, err) : hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK && p.index.version < 3)
        s = hct_fail(err, HCT_EVERSION,
                     "%s: was made by an earlier headct: run headct prepare again, which brings it up "
                     "to date",
                     p.index.path);
    if (s == HCT_OK) s = count(&p, &n, err);
    if (s == HCT_OK) {
        p.bar = progress_begin(out, "scan", 0, n, "scans", 1);
        s = add_cards(&p, &scans, &left_out, err);
        if (s == HCT_OK) progress_end(&p.bar, "");
        else progress_break(&p.bar);
    }
    const char *cards = s == HCT_OK ? text_get(&p.html, path, err) : NULL;
    if (s == HCT_OK && !cards) s = HCT_ENOMEM;
    if (s == HCT_OK) {
        text_add(&whole, HEAD, sizeof HEAD - 1);
        text_printf(&whole,
                    "<header><h1>%lld scans, %lld left out</h1> sort by: <button onclick=\"order('warning',1)\">warning"
                    "</button><button onclick=\"order('thickness')\">thickness</button><button "
                    "onclick=\"order('age')\">age</button><button onclick=\"order('name')\">name</button> <label>show "
                    "only: <input oninput=\"only(this.value)\" placeholder=\"a word, a reason\"></label> <span>axial, "
                    "coronal, sagittal; 0 to 80 HU</span></header>\n<div id=\"cards\">\n",
                    (long long)scans, (long long)left_out);
        text_add(&whole, cards, strlen(cards));
        text_printf(&whole, "</div>\n");
        text_add(&whole, SCRIPT, sizeof SCRIPT - 1);
        s = text_save(&whole, path, err);
    }
    text_free(&whole);
    text_free(&p.html);
    index_close(&p.index);
    free(path);
    return s;
}
