/* An HTML page in one file: style, plots and pictures are inside, so it can be mailed. All text is escaped; nothing
 * is fetched, and no script runs but the page's own, told by its hash (a Content-Security-Policy says so). Several
 * headings get a table of contents.
 *
 *   report *r = report_new("Demo");
 *   report_heading(r, "Pre-training");
 *   report_figure(r, "runs/demo/loss.svg", "Loss over steps.");
 *   status = report_write(r, "runs/demo/report.html", &err);
 *
 * Errors stay in the report and come out of report_write, which frees it in any case. */
#ifndef FIGURES_REPORT_H
#define FIGURES_REPORT_H

#include "hct/types.h"
#include "support/text.h"

typedef struct report report;

report *report_new(const char *title);
/* A line under the title, smaller: what it is, when. */
void report_subtitle(report *r, const char *text);
void report_heading(report *r, const char *text);
void report_subheading(report *r, const char *text);
void report_paragraph(report *r, const char *fmt, ...) HCT_PRINTF(2, 3);
/* The result in a sentence: report_lead's below the title, wherever it is called; report_result's in its place. */
void report_lead(report *r, const char *fmt, ...) HCT_PRINTF(2, 3);
void report_result(report *r, const char *fmt, ...) HCT_PRINTF(2, 3);
/* A paragraph that stands out: what must not be overlooked. */
void report_note(report *r, const char *fmt, ...) HCT_PRINTF(2, 3);
/* cells: rows * columns, row-major; the first column names the rows. With a head the others are set right, as numbers
 * are; without one (head NULL) the table lists facts. */
void report_table(report *r, const char *const *head, const char *const *cells, size_t rows, size_t columns,
                  const char *caption);
/* An .svg or .png file, copied into the page, the caption its text alternative; square SVG plots stand two in a row. */
void report_figure(report *r, const char *path, const char *caption);
/* What was put so far, pictures and tables too, stands above the contents: the page's first screen. */
void report_opening(report *r);
/* Text as it is (a recipe), folded away under a title. */
void report_folded(report *r, const char *title, const char *text);
/* HTML of this room's own making, as it is, and the script that it needs (a constant; a page has one; NULL: none). */
void report_html(report *r, const text_buffer *html, const char *script);
hct_status report_write(report *r, const char *path, hct_err *err);
/* The style of reports, for another page that is to look like one. */
const char *report_style(void);
/* What a Content-Security-Policy calls a script or style of the page by: 'sha256-...'. */
hct_status report_policy_hash(text_buffer *policy, const char *text, hct_err *err);
/* Frees it unwritten; r may be NULL. */
void report_discard(report *r);

#endif
