/* Plots, pictures and the HTML page: files that are what their names say, escaped text, clear refusals. */
#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "figures/bars.h"
#include "figures/picture.h"
#include "figures/plot.h"
#include "figures/report.h"
#include "figures/viewer.h"
#include "hct/io.h"
#include "scratch.h"
#include "support/sha256.h"
#include "write_shim.h"

static char *text_of(const char *path) {
    char *text = NULL;
    ck_assert_int_eq(hct_read_file(path, &text, NULL, NULL), HCT_OK);
    return text;
}

static hct_status draw(const char *name, bool square, hct_err *err) {
    double x[50], y[50], low[50], high[50];
    for (int i = 0; i < 50; i++) {
        x[i] = i / 49.0;
        y[i] = i == 20 && !square ? NAN : sqrt(x[i]);
        low[i] = y[i] * 0.9;
        high[i] = y[i] < 0.9 ? y[i] * 1.1 : 1;
    }
    plot_series s[] = {
        {.title = "it's <one> & \"two\"", .x = x, .y = y, .low = low, .high = high, .n = 50},
        {.x = x, .y = x, .n = 50},
        {.title = "few", .x = x, .y = y, .n = 2},
    };
    plot p = {.title = "A title; quit",
              .x_label = "x",
              .y_label = "y",
              .series = s,
              .n = 3,
              .square = square ? SQUARE_DIAGONAL : SQUARE_NOT};
    return plot_write(&p, scratch_path(name), err);
}

START_TEST(plots) {
    hct_err err = {0};
    ck_assert_msg(draw("p.svg", true, &err) == HCT_OK, "%s", err.msg);
    char *svg = text_of(scratch_path("p.svg"));
    ck_assert_ptr_nonnull(strstr(svg, "<svg"));
    ck_assert_ptr_nonnull(strstr(svg, "A title; quit"));
    ck_assert_ptr_nonnull(strstr(svg, "it's &lt;one> &amp; "));
    free(svg);
    ck_assert_msg(draw("p.png", false, &err) == HCT_OK, "%s", err.msg);
    cairo_surface_t *png = cairo_image_surface_create_from_png(scratch_path("p.png"));
    ck_assert_int_eq(cairo_image_surface_get_width(png), 720);
    cairo_surface_destroy(png);
    ck_assert_int_eq(scratch_count(scratch_folder()), 3); /* and the numbers, p.csv of both */
}
END_TEST

/* A full disk never leaves half a figure: the older one stays. */
START_TEST(plot_on_a_full_disk) {
    hct_err err = {0};
    ck_assert_int_eq(draw("full.svg", true, &err), HCT_OK);
    int files = scratch_count(scratch_folder());
    char *before = text_of(scratch_path("full.svg"));
    write_shim_budget = 3000;
    hct_status status = draw("full.svg", false, &err);
    write_shim_budget = -1;
    ck_assert_int_eq(status, HCT_EIO);
    ck_assert_msg(strstr(err.msg, "full.svg: writing failed: No space left"), "%s", err.msg);
    char *after = text_of(scratch_path("full.svg"));
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(scratch_count(scratch_folder()), files);
    free(before);
    free(after);
}
END_TEST

/* "<path stroke='rgb(r, g, b" of gnuplot's curve of that number, from 1. */
static void colour_of(const char *svg, int curve, char ret[40]) {
    char title[40];
    snprintf(title, sizeof title, "<title>gnuplot_plot_%d</title>", curve);
    const char *at = strstr(svg, title);
    ck_assert_msg(at && (at = strstr(at, "<path stroke='rgb(")), "curve %d has no colour", curve);
    snprintf(ret, 40, "%.*s", (int)strcspn(at, ")"), at);
}

/* Ten curves over four decades, on a logarithmic axis: a label for each decade, a colour and a title for each curve. */
START_TEST(many_curves_over_decades) {
    enum { N = 10 };
    static const char *const titles[N] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"};
    double x[2] = {0, 1}, y[N][2];
    plot_series s[N];
    for (int i = 0; i < N; i++) {
        y[i][0] = 1;
        y[i][1] = i ? 0.5 : 0.0001;
        s[i] = (plot_series){.title = titles[i], .x = x, .y = y[i], .n = 2};
    }
    plot p = {.series = s, .n = N, .log_y = true};
    hct_err err = {0};
    ck_assert_msg(plot_write(&p, scratch_path("many.svg"), &err) == HCT_OK, "%s", err.msg);
    char *svg = NULL, colour[N][40];
    /* in text_of gcc 12 sees a pointer that dangles */
    ck_assert_int_eq(hct_read_file(scratch_path("many.svg"), &svg, NULL, NULL), HCT_OK);
    ck_assert_ptr_nonnull(strstr(svg, "0.001<"));
    ck_assert_ptr_nonnull(strstr(svg, "0.01<"));
    for (int i = 0; i < N; i++) {
        colour_of(svg, i + 1, colour[i]);
        ck_assert_ptr_nonnull(strstr(svg, titles[i]));
        for (int j = 0; j < i; j++) ck_assert_str_ne(colour[i], colour[j]);
    }
    free(svg);
}
END_TEST

START_TEST(plots_that_fail) {
    hct_err err = {0};
    plot nothing = {0};
    int before = scratch_count(scratch_folder());
    ck_assert_int_eq(draw("p.gif", false, &err), HCT_EINVAL);
    ck_assert_int_eq(plot_write(&nothing, scratch_path("n.svg"), &err), HCT_EINVAL);
    ck_assert_int_eq(draw("absent/p.svg", false, &err), HCT_ENOTFOUND);
    ck_assert_msg(strstr(err.msg, "absent/p.svg"), "%s", err.msg);
    char *path = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    hct_status status = draw("q.svg", false, &err);
    setenv("PATH", path, 1);
    free(path);
    ck_assert_int_eq(status, HCT_ENOTFOUND);
    ck_assert_msg(strstr(err.msg, "apt-get install gnuplot-nox"), "%s", err.msg);
    ck_assert_int_eq(scratch_count(scratch_folder()), before);
}
END_TEST

/* Grey of a pixel; the picture of tile 0 starts 8 pixels from the left and top. */
static int grey(cairo_surface_t *s, int x, int y) {
    const unsigned char *p =
        cairo_image_surface_get_data(s) + (y + 8) * cairo_image_surface_get_stride(s) + 4 * (x + 8);
    ck_assert(p[0] == p[1] && p[1] == p[2]);
    return p[0];
}

START_TEST(slices_face_the_right_way) {
    enum { A = 4, B = 6, C = 8, SCALE = 10 };
    float v[A][B][C];
    for (int i = 0; i < A; i++)
        for (int j = 0; j < B; j++)
            for (int k = 0; k < C; k++) v[i][j][k] = (float)(100 * i + 10 * j + k);
    for (int plane = 0; plane < 3; plane++) {
        int rows = plane == SLICE_AXIAL ? B : C, columns = plane == SLICE_SAGITTAL ? B : A;
        picture_tile t = {
            .volume = &v[0][0][0], .dim = {A, B, C}, .plane = plane, .at = 1, .high = 510, .caption = "caption"};
        hct_err err = {0};
        ck_assert_msg(picture_write(&t, 1, rows * SCALE, scratch_path("s.png"), &err) == HCT_OK, "%s", err.msg);
        cairo_surface_t *s = cairo_image_surface_create_from_png(scratch_path("s.png"));
        ck_assert_int_eq(cairo_image_surface_get_width(s), columns * SCALE + 16);
        for (int x = 0; x < columns; x++)
            for (int y = 0; y < rows; y++) {
                int i = plane == SLICE_SAGITTAL ? 1 : A - 1 - x, k = plane == SLICE_AXIAL ? 1 : C - 1 - y;
                int j = plane == SLICE_CORONAL ? 1 : plane == SLICE_AXIAL ? B - 1 - y : B - 1 - x;
                ck_assert_int_eq(grey(s, x * SCALE + 5, y * SCALE + 5), (int)(v[i][j][k] / 2 + 0.5f));
            }
        cairo_surface_destroy(s);
    }
    picture_tile t = {.volume = &v[0][0][0], .dim = {A, B, C}, .plane = SLICE_AXIAL, .at = C, .high = 1};
    hct_err err = {0};
    ck_assert_int_eq(picture_write(&t, 1, 10, scratch_path("t.png"), &err), HCT_ESHAPE);
    t.at = -1;
    ck_assert_int_eq(picture_write(&t, 1, 10, scratch_path("absent/t.png"), &err), HCT_ENOTFOUND);
    ck_assert_int_eq(picture_write(&t, 0, 10, scratch_path("t.png"), &err), HCT_EINVAL);
    ck_assert_int_eq(picture_write((picture_tile[]){t, t, t}, 3, 40, scratch_path("t.png"), &err), HCT_OK);
}
END_TEST

START_TEST(a_page_in_one_file) {
    hct_err err = {0};
    draw("p.svg", true, &err);
    draw("p.png", false, &err);
    report *r = report_new("Title <b> & \"co\"");
    report_subtitle(r, "sub");
    report_heading(r, "Heading");
    report_paragraph(r, "%d < %s", 3, "<script>alert(1)</script>");
    report_note(r, "note");
    report_table(r, (const char *[]){"task", "AUC"}, (const char *[]){"IPH", "0.91", "<i>", "undefined"}, 2, 2,
                 "Table");
    report_figure(r, scratch_path("p.svg"), "plot");
    report_figure(r, scratch_path("p.png"), "picture");
    report_folded(r, "recipe", "a: <b>");
    const char *path = scratch_path("report.html");
    ck_assert_msg(report_write(r, path, &err) == HCT_OK, "%s", err.msg);
    char *html = text_of(path);
    ck_assert_ptr_nonnull(strstr(html, "<figure class=\"half\"><img alt=\"plot\" src=\"data:image/svg+xml;base64,"));
    ck_assert_ptr_nonnull(strstr(html, "default-src 'none'; img-src data:"));
    ck_assert_ptr_null(strstr(html, "<nav")); /* one heading needs no contents */
    ck_assert_ptr_null(strstr(html, "<script"));
    ck_assert_ptr_null(strstr(html, "<?xml"));
    ck_assert_ptr_null(strstr(html, "<i>"));
    ck_assert_ptr_null(strstr(html, "src=\"http"));
    ck_assert_ptr_nonnull(strstr(html, "<td>0.91</td>"));
    ck_assert_ptr_nonnull(strstr(html, "<td>undefined</td>"));
    ck_assert_ptr_nonnull(strstr(html, "base64,iVBORw0KGgo"));
    ck_assert_ptr_nonnull(strstr(html, "Title &lt;b&gt; &amp; &quot;co&quot;"));
    free(html);
    r = report_new("x");
    report_heading(r, "First & last");
    report_subheading(r, "Second");
    ck_assert_int_eq(report_write(r, scratch_path("two.html"), &err), HCT_OK);
    char *two = NULL; /* in text_of gcc 12 sees a pointer that dangles */
    ck_assert_int_eq(hct_read_file(scratch_path("two.html"), &two, NULL, NULL), HCT_OK);
    const char *link = strstr(two, "<li><a href=\"#part1\">First &amp; last</a></li>"),
               *part = strstr(two, "<h2 id=\"part1\">First");
    ck_assert(link && part && link < part && strstr(two, "<h3 id=\"part2\">Second"));
    free(two);
    r = report_new("x");
    report_figure(r, scratch_path("none.svg"), "c");
    ck_assert_int_eq(report_write(r, scratch_path("bad.html"), &err), HCT_ENOTFOUND);
    r = report_new("x");
    report_figure(r, scratch_file("fake.png", "not a png", 9), "c");
    ck_assert_int_eq(report_write(r, scratch_path("bad.html"), &err), HCT_EFORMAT);
    r = report_new("x");
    report_figure(r, scratch_file("fake.svg", "not an svg", 10), "c");
    ck_assert_int_eq(report_write(r, scratch_path("bad.html"), &err), HCT_EFORMAT);
}
END_TEST

/* Two models of three tasks, one of them not known: titles and marks in the figures, every number beside them. */
START_TEST(bars_and_radar) {
    static const char *const groups[] = {"IPH", "it's", "mean"}, *const series[] = {"ours & co", "theirs"},
                             *const mark[] = {NULL, NULL, NULL, "***", NULL, "*"};
    const double v[] = {0.9, 0.8, 0.85, 0.6, NAN, 0.3}, low[] = {0.85, 0.7, NAN, 0.5, NAN, 0.2},
                 high[] = {0.95, 0.9, NAN, 0.7, NAN, 0.4};
    const bars b = {.title = "AUC",
                    .y_label = "ROC AUC",
                    .groups = groups,
                    .series = series,
                    .n_groups = 3,
                    .n_series = 2,
                    .value = v,
                    .low = low,
                    .high = high,
                    .mark = mark,
                    .line = 0.5};
    hct_err err = {0};
    char *svg = NULL, *csv = NULL;
    ck_assert_msg(bars_write(&b, scratch_path("bars.svg"), &err) == HCT_OK, "%s", err.msg);
    ck_assert_int_eq(hct_read_file(scratch_path("bars.svg"), &svg, NULL, NULL), HCT_OK);
    ck_assert(strstr(svg, "ours &amp; co") && strstr(svg, ">***<") && strstr(svg, ">*<") && strstr(svg, "it's"));
    free(svg);
    ck_assert_int_eq(hct_read_file(scratch_path("bars.csv"), &csv, NULL, NULL), HCT_OK);
    ck_assert_str_eq(csv, "series,group,value,low,high,mark\nours & co,IPH,0.9,0.85,0.95,\nours & "
                          "co,it's,0.8,0.7,0.9,\nours & co,mean,0.85,,,\n"
                          "theirs,IPH,0.6,0.5,0.7,***\ntheirs,it's,,,,\ntheirs,mean,0.3,0.2,0.4,*\n");
    free(csv);
    ck_assert_msg(radar_write(&b, scratch_path("radar.svg"), &err) == HCT_OK, "%s", err.msg);
    ck_assert_int_eq(hct_read_file(scratch_path("radar.svg"), &svg, NULL, NULL), HCT_OK);
    ck_assert(strstr(svg, "theirs") && strstr(svg, "IPH"));
    free(svg);
    bars two = b;
    two.n_groups = 2;
    ck_assert_int_eq(radar_write(&two, scratch_path("none.svg"), &err), HCT_EINVAL);
    two.n_series = 0;
    ck_assert_int_eq(bars_write(&two, scratch_path("none.svg"), &err), HCT_EINVAL);
}
END_TEST

/* Steps of a byte are 1 HU where soft tissue and blood lie; all bytes come back as they are. */
START_TEST(bytes_of_hu) {
    for (int b = 0; b < 256; b++) ck_assert_int_eq(viewer_byte(viewer_hu((unsigned char)b)), b);
    for (int hu = -20; hu <= 100; hu++) ck_assert_double_eq_tol(viewer_hu(viewer_byte(hu)), hu, 1e-9);
    for (int hu = -1100; hu <= 2100; hu++)
        ck_assert_double_eq_tol(viewer_hu(viewer_byte(hu)), hu < -1024 ? -1024 : hu > 2000 ? 2000 : hu, 17);
    ck_assert_int_eq(viewer_byte(NAN), 0);
}
END_TEST

/* Value of an attribute of the page's viewer; the caller's. */
static char *attribute(const char *html, const char *name) {
    char start[40];
    snprintf(start, sizeof start, " %s=\"", name);
    const char *at = strstr(html, start);
    ck_assert_msg(at != NULL, "no %s", name);
    at += strlen(start);
    return strndup(at, strcspn(at, "\""));
}

/* A volume too long for a page is averaged over blocks; the policy names the only script by its hash. */
START_TEST(a_viewer_in_a_page) {
    enum { X = 2, Y = 129, Z = 3 };
    static float v[X * Y * Z], map[X * Y * Z];
    hct_err err = {0};
    for (int i = 0; i < X * Y * Z; i++) v[i] = 10, map[i] = i == 0 ? 3 : -1;
    v[X * Y * Z - 1] = 50; /* the last block holds two voxels: both x, y 128, z 2 */
    report *r = report_new("x");
    report_viewer(r, &(viewer){.title = "a <scan>",
                               .volume = v,
                               .dim = {X, Y, Z},
                               .mm = {1, 1, 1.5},
                               .overlay = map,
                               .overlay_name = "map",
                               .at = {1, 64, 2}});
    ck_assert_msg(report_write(r, scratch_path("viewer.html"), &err) == HCT_OK, "%s", err.msg);
    char *html = NULL, *text;
    ck_assert_int_eq(hct_read_file(scratch_path("viewer.html"), &html, NULL, NULL), HCT_OK);
    static const char *const want[][2] = {
        {"data-dim", "1,65,2"}, {"data-mm", "2,2,3"}, {"data-at", "0,32,1"}, {"data-map-dim", "1,43,1"}};
    for (int i = 0; i < 4; i++) {
        text = attribute(html, want[i][0]);
        ck_assert_str_eq(text, want[i][1]);
        free(text);
    }
    text = attribute(html, "data-scan");
    ck_assert_uint_eq(strlen(text), (65 * 2 + 2) / 3 * 4);
    ck_assert(!strncmp(text, "RkZG", 4) && !strcmp(text + strlen(text) - 4, "Wg==")); /* 10 HU: 70; 30 HU: 90 */
    free(text);
    ck_assert_ptr_nonnull(strstr(html, "a &lt;scan&gt;"));
    const char *script = strstr(html, "<script>"), *end = script ? strstr(script, "</script>") : NULL;
    ck_assert(end && !strstr(end, "<script"));
    char hex[SHA256_HEX], base64[64] = "", policy[128];
    ck_assert_int_eq(sha256_bytes(script + 8, (size_t)(end - script - 8), hex, &err), HCT_OK);
    const char *hash = strstr(html, "script-src 'sha256-");
    ck_assert_ptr_nonnull(hash);
    snprintf(base64, sizeof base64, "%.44s", hash + 19);
    unsigned char digest[32];
    for (int i = 0; i < 32; i++) {
        const char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
        digest[i] = (unsigned char)strtoul(two, NULL, 16);
    }
    text_buffer own = {0};
    text_add_base64(&own, digest, 32);
    ck_assert_str_eq(text_so_far(&own), base64);
    text_free(&own);
    snprintf(policy, sizeof policy, "script-src 'sha256-%s'\">", base64);
    ck_assert_ptr_nonnull(strstr(html, policy)); /* no other script is allowed */
    free(html);
}
END_TEST

CHECK_MAIN("figures", plots, plot_on_a_full_disk, many_curves_over_decades, plots_that_fail, slices_face_the_right_way,
           a_page_in_one_file, bars_and_radar, bytes_of_hu, a_viewer_in_a_page)
