/* The slice viewer's part of a page: controls, and the volume as base64. */
#include "figures/viewer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "figures/viewer_script.h"
#include "support/text.h"

enum { KNOTS = 5 };
static const double knots[KNOTS][2] = {{0, -1024}, {40, -20}, {160, 100}, {200, 200}, {255, 2000}};

unsigned char viewer_byte(double hu) {
    if (!(hu > knots[0][1])) return 0;
    for (int k = 1; k < KNOTS; k++)
        if (hu <= knots[k][1])
            return (unsigned char)lround(knots[k - 1][0] + (knots[k][0] - knots[k - 1][0]) * (hu - knots[k - 1][1]) /
                                                               (knots[k][1] - knots[k - 1][1]));
    return 255;
}

double viewer_hu(unsigned char byte) {
    int k = 1;
    while (byte > knots[k][0]) k++;
    return knots[k - 1][1] +
           (knots[k][1] - knots[k - 1][1]) * (byte - knots[k - 1][0]) / (knots[k][0] - knots[k - 1][0]);
}

/* A volume averaged over blocks of `step` voxels each way, the last ones smaller. */
typedef struct blocks {
    int64_t step, dim[3];
    float *mean; /* NULL: no memory */
} blocks;

static blocks blocks_of(const float *v, const int64_t dim[3], int64_t side) {
    blocks b = {.step = 1};
    for (int a = 0; a < 3; a++)
        while ((dim[a] + b.step - 1) / b.step > side) b.step++;
    for (int a = 0; a < 3; a++) b.dim[a] = (dim[a] + b.step - 1) / b.step;
    size_t n = (size_t)(b.dim[0] * b.dim[1] * b.dim[2]);
    float *count = calloc(n + 1, sizeof *count);
    b.mean = calloc(n + 1, sizeof *b.mean);
    for (int64_t i = 0; count && b.mean && i < dim[0]; i++)
        for (int64_t j = 0; j < dim[1]; j++)
            for (int64_t k = 0; k < dim[2]; k++) {
                size_t at = (size_t)((i / b.step * b.dim[1] + j / b.step) * b.dim[2] + k / b.step);
                b.mean[at] += v[(i * dim[1] + j) * dim[2] + k];
                count[at]++;
            }
    for (size_t i = 0; count && b.mean && i < n; i++) b.mean[i] /= count[i];
    if (!count) {
        free(b.mean);
        b.mean = NULL;
    }
    free(count);
    return b;
}

static void add_bytes(text_buffer *html, const blocks *b, double high) {
    size_t n = (size_t)(b->dim[0] * b->dim[1] * b->dim[2]);
    unsigned char *bytes = malloc(n + 1);
    for (size_t i = 0; bytes && i < n; i++)
        bytes[i] = high > 0 ? (unsigned char)lround(255 * fmin(fmax((double)b->mean[i] / high, 0), 1))
                            : viewer_byte((double)b->mean[i]);
    if (bytes) text_add_base64(html, bytes, n);
    else text_fail(html);
    free(bytes);
}

static void add_map(text_buffer *html, const viewer *v) {
    blocks b = blocks_of(v->overlay, v->dim, VIEWER_MAP_SIDE);
    double high = 0;
    if (!b.mean) text_fail(html);
    for (int64_t i = 0; b.mean && i < b.dim[0] * b.dim[1] * b.dim[2]; i++) high = fmax(high, (double)b.mean[i]);
    text_printf(html, " data-map-dim=\"%lld,%lld,%lld\" data-map-high=\"%.4g\" data-map=\"", (long long)b.dim[0],
                (long long)b.dim[1], (long long)b.dim[2], high);
    if (b.mean) add_bytes(html, &b, high > 0 ? high : 1);
    text_printf(html, "\"");
    free(b.mean);
}

static void add_controls(text_buffer *html, const viewer *v) {
    static const char *const windows[][2] = {{"40:80", "soft tissue, 40 \302\261 40 HU"},
                                             {"80:200", "blood, 80 \302\261 100 HU"},
                                             {"600:2800", "bone, 600 \302\261 1400 HU"}};
    static const char *const planes[] = {"axial", "coronal", "sagittal"};
    text_printf(html, "<div class=\"bar\"><label>window <select>");
    for (int w = 0; w < 3; w++) text_printf(html, "<option value=\"%s\">%s</option>", windows[w][0], windows[w][1]);
    text_printf(html, "</select></label> ");
    if (v->overlay) {
        text_printf(html, "<label>");
        text_add_html(html, v->overlay_name ? v->overlay_name : "overlay");
        text_printf(
            html, " <input class=\"opacity\" type=\"range\" min=\"0\" max=\"100\" step=\"10\" value=\"60\"></label> ");
    }
    text_printf(html,
                "<label><input class=\"cross\" type=\"checkbox\" checked> crosshair</label> <output></output></div>\n"
                "<div class=\"planes\">");
    for (int p = 0; p < 3; p++)
        text_printf(html,
                    "<div class=\"%s\"><canvas tabindex=\"0\" role=\"img\" aria-label=\"%s slice\" width=\"1\" "
                    "height=\"1\"></canvas><label>%s <input type=\"range\" min=\"0\" value=\"0\"></label></div>\n",
                    planes[p], planes[p], planes[p]);
    text_printf(
        html,
        "</div><p class=\"keys\">Click or drag in a plane to move the crosshair. With a plane chosen: wheel, arrow up "
        "and down, page up and down, home, end: slices; 1, 2, 3: windows; %sc: crosshair. R, L, A, P, S: the patient's "
        "right, left, front, back, top.</p><noscript><p>The viewer needs this page's script, which is switched "
        "off.</p></noscript>\n",
        v->overlay ? "+ and -: overlay; " : "");
}

void viewer_html(text_buffer *html, const viewer *v) {
    blocks b = blocks_of(v->volume, v->dim, VIEWER_SIDE);
    if (!b.mean) text_fail(html);
    text_printf(html, "<div class=\"viewer\" role=\"group\" aria-label=\"");
    text_add_html(html, v->title);
    text_printf(html, "\" data-dim=\"%lld,%lld,%lld\" data-mm=\"", (long long)b.dim[0], (long long)b.dim[1],
                (long long)b.dim[2]);
    for (int a = 0; a < 3; a++) text_printf(html, "%s%.4g", a ? "," : "", v->mm[a] * (double)b.step);
    text_printf(html, "\" data-at=\"");
    for (int a = 0; a < 3; a++) text_printf(html, "%s%lld", a ? "," : "", (long long)(v->at[a] / b.step));
    text_printf(html, "\" data-knots=\"");
    for (int k = 0; k < KNOTS; k++) text_printf(html, "%s%g:%g", k ? "," : "", knots[k][0], knots[k][1]);
    text_printf(html, "\"");
    if (v->overlay) add_map(html, v);
    text_printf(html, " data-scan=\"");
    if (b.mean) add_bytes(html, &b, 0);
    text_printf(html, "\"><p class=\"title\">");
    text_add_html(html, v->title);
    text_printf(html, "</p>\n");
    add_controls(html, v);
    text_printf(html, "</div>\n");
    free(b.mean);
}

void report_viewer(report *r, const viewer *v) {
    text_buffer html = {0};
    viewer_html(&html, v);
    report_html(r, &html, viewer_script);
    text_free(&html);
}
