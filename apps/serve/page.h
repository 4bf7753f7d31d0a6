/* The upload page at /: the report's style and viewer, a form, a script that asks this server alone. */
#ifndef SERVE_PAGE_H
#define SERVE_PAGE_H

#include "support/text.h"

/* page.html and page.js as text: figures/embed_text.py writes them. */
extern const char page_html[], page_script[];

/* The page, and the Content-Security-Policy that goes with it: its own script and style by their hashes, answers of
 * this server, nothing else. */
hct_status page_make(text_buffer *html, text_buffer *policy, hct_err *err);

#endif
