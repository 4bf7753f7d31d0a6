/* The upload page, put together once. */
#include "serve/page.h"

#include <string.h>

#include "figures/report.h"
#include "figures/viewer_script.h"

static const char OWN_STYLE[] = ".drop{border:2px dashed var(--soft);padding:.4rem 1rem;margin:1rem 0}"
                                ".drop.over{border-color:#0072b2;background:var(--ground)}"
                                "button,input{font:inherit}button{padding:.35rem .9rem}"
                                ":focus-visible{outline:3px solid #0072b2;outline-offset:2px}"
                                "input[type=file]{max-width:100%}#model td{overflow-wrap:anywhere}";

hct_status page_make(text_buffer *html, text_buffer *policy, hct_err *err) {
    text_buffer style = {0}, script = {0};
    text_printf(&style, "%s%s", report_style(), OWN_STYLE);
    text_printf(&script, "%s%s", viewer_script, page_script);
    const char *css = text_get(&style, "the page", err), *js = text_get(&script, "the page", err);
    hct_status s = css && js ? HCT_OK : HCT_ENOMEM;
    if (s == HCT_OK) {
        text_printf(html, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                          "<title>headct: probabilities of head CTs</title><link rel=\"icon\" href=\"data:,\"><style>");
        text_printf(html, "%s</style></head>\n<body>%s<script>%s</script></body></html>\n", css, page_html, js);
        text_printf(policy, "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                            "img-src data:; connect-src 'self'; style-src ");
        s = report_policy_hash(policy, css, err);
        text_printf(policy, "; script-src ");
    }
    if (s == HCT_OK) s = report_policy_hash(policy, js, err);
    text_free(&style);
    text_free(&script);
    if (s == HCT_OK) s = text_check(html, "the page", err);
    return s == HCT_OK ? text_check(policy, "the page", err) : s;
}
