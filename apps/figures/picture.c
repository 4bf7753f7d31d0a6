/* Slices of volumes as PNG pictures. */
#include "figures/picture.h"

#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"

enum { GAP = 8, CAPTION = 26, BAR = 72 };

/* Columns and rows of the slice as drawn. */
static void extent(const picture_tile *t, int *ret_columns, int *ret_rows) {
    *ret_columns = (int)t->dim[t->plane == SLICE_SAGITTAL ? 1 : 0];
    *ret_rows = (int)t->dim[t->plane == SLICE_AXIAL ? 1 : 2];
}

/* The voxel at column x from the left, row y from the top. Both axes run against the volume's: right is on the
 * left, the front is up (or left), up is up. */
static int64_t voxel_at(const picture_tile *t, int64_t cut, int x, int y) {
    int columns, rows;
    extent(t, &columns, &rows);
    int64_t u = columns - 1 - x, v = rows - 1 - y;
    int64_t i = t->plane == SLICE_SAGITTAL ? cut : u;
    int64_t j = t->plane == SLICE_SAGITTAL ? u : t->plane == SLICE_CORONAL ? cut : v;
    int64_t k = t->plane == SLICE_AXIAL ? cut : v;
    return (i * t->dim[1] + j) * t->dim[2] + k;
}

static uint32_t colour_of(float value, double low, double high) {
    if (isnan(value)) return 0x2f5d9e;
    double g = high > low ? (value - low) / (high - low) : 0;
    uint32_t grey = (uint32_t)(255 * (g < 0 ? 0 : g > 1 ? 1 : g) + 0.5);
    return grey << 16 | grey << 8 | grey;
}

/* Dark red, orange, yellow: lighter is more, in grey print and for the colour-blind too. */
static uint32_t heat_of(double part) {
    static const double stop[4][3] = {{0.30, 0.02, 0.10}, {0.80, 0.15, 0.10}, {0.98, 0.60, 0.10}, {1, 0.98, 0.70}};
    double x = fmin(fmax(part, 0), 1) * 3;
    int i = x < 2.999 ? (int)x : 2;
    uint32_t colour = 0;
    for (int c = 0; c < 3; c++)
        colour = colour << 8 | (uint32_t)(255 * (stop[i][c] + (stop[i + 1][c] - stop[i][c]) * (x - i)) + 0.5);
    return colour;
}

/* The overlay's colour over a grey: the more, the less of the grey is left, four tenths at the least. */
static uint32_t blend(uint32_t grey, double part) {
    if (!(part > 0)) return grey;
    uint32_t heat = heat_of(part), mixed = 0;
    double w = 0.6 * fmin(part, 1);
    for (int shift = 16; shift >= 0; shift -= 8) {
        double g = grey >> shift & 255, h = heat >> shift & 255;
        mixed |= (uint32_t)(g + (h - g) * w + 0.5) << shift;
    }
    return mixed;
}

static cairo_surface_t *slice_surface(const picture_tile *t) {
    int columns, rows;
    extent(t, &columns, &rows);
    int64_t length = t->dim[t->plane], cut = t->at < 0 ? length / 2 : t->at;
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, columns, rows);
    if (cairo_surface_status(s) != CAIRO_STATUS_SUCCESS) return s;
    unsigned char *bytes = cairo_image_surface_get_data(s);
    int stride = cairo_image_surface_get_stride(s);
    for (int y = 0; y < rows; y++) {
        uint32_t *row = (uint32_t *)(void *)(bytes + (ptrdiff_t)y * stride);
        for (int x = 0; x < columns; x++) {
            int64_t at = voxel_at(t, cut, x, y);
            row[x] = colour_of(t->volume[at], t->low, t->high);
            if (t->overlay && t->overlay_high > t->overlay_low)
                row[x] = blend(row[x], (t->overlay[at] - t->overlay_low) / (t->overlay_high - t->overlay_low));
        }
    }
    cairo_surface_mark_dirty(s);
    return s;
}

static cairo_status_t to_file(void *closure, const unsigned char *bytes, unsigned n) {
    hct_outfile_write(closure, bytes, n);
    return CAIRO_STATUS_SUCCESS; /* errors are reported by hct_outfile_close */
}

static void draw_tile(cairo_t *c, const picture_tile *t, double x, double width, int size) {
    cairo_surface_t *s = slice_surface(t);
    int columns, rows;
    extent(t, &columns, &rows);
    cairo_save(c);
    cairo_translate(c, x, GAP);
    cairo_scale(c, width / columns, (double)size / rows);
    cairo_set_source_surface(c, s, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c), CAIRO_FILTER_NEAREST);
    cairo_paint(c);
    cairo_restore(c);
    cairo_surface_destroy(s);
    if (!t->caption) return;
    cairo_text_extents_t box;
    cairo_text_extents(c, t->caption, &box);
    cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
    cairo_move_to(c, x + (width - box.width) / 2, GAP + size + 18);
    cairo_show_text(c, t->caption);
}

/* The overlay's colours from 0 at the bottom to overlay_high. */
static void draw_bar(cairo_t *c, const picture_tile *t, double x, int size) {
    char text[32];
    for (int y = 0; y < size; y++) {
        uint32_t colour = heat_of(1 - (double)y / size);
        cairo_set_source_rgb(c, (colour >> 16) / 255.0, (colour >> 8 & 255) / 255.0, (colour & 255) / 255.0);
        cairo_rectangle(c, x, GAP + y, BAR / 4.0, 1);
        cairo_fill(c);
    }
    cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
    for (int end = 0; end < 2; end++) {
        snprintf(text, sizeof text, "%.3g", end ? t->overlay_high : t->overlay_low);
        cairo_move_to(c, x + BAR / 4.0 + 4, end ? GAP + 12 : GAP + size);
        cairo_show_text(c, text);
    }
}

static hct_status check(const picture_tile *t, const char *path, hct_err *err) {
    for (int d = 0; d < 3; d++)
        if (t->dim[d] < 1 || t->dim[d] > 8192)
            return hct_fail(err, HCT_ESHAPE, "%s: a picture needs three dims from 1 to 8192", path);
    if (t->at >= t->dim[t->plane])
        return hct_fail(err, HCT_ESHAPE, "%s: slice %lld of %lld", path, (long long)t->at, (long long)t->dim[t->plane]);
    return HCT_OK;
}

/* Of a tile that is `size` high. */
static double width_of(const picture_tile *t, int size) {
    int columns, rows;
    extent(t, &columns, &rows);
    return (double)size * columns / rows;
}

hct_status picture_write(const picture_tile *tiles, size_t n, int size, const char *path, hct_err *err) {
    return picture_grid(tiles, n, n, size, path, err);
}

hct_status picture_grid(const picture_tile *tiles, size_t n, size_t columns, int size, const char *path, hct_err *err) {
    double total = 0, x = GAP;
    int captions = 0;
    const picture_tile *barred = NULL;
    if (n == 0 || columns == 0 || size < 1) return hct_fail(err, HCT_EINVAL, "%s: there is nothing to draw", path);
    for (size_t i = 0; i < n; i++) {
        hct_status status = check(&tiles[i], path, err);
        if (status < 0) return status;
        x = (i % columns ? x : GAP) + width_of(&tiles[i], size) + GAP;
        total = fmax(total, x);
        captions |= tiles[i].caption != NULL;
        if (tiles[i].overlay) barred = &tiles[i];
    }
    if (barred) total += BAR + GAP;
    int rows = (int)((n + columns - 1) / columns), high = size + GAP + (captions ? CAPTION - GAP : 0);
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)ceil(total), rows * high + GAP);
    cairo_t *c = cairo_create(s);
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, 13);
    for (size_t i = 0; i < n; i++) {
        if (i % columns == 0) x = GAP;
        if (i && i % columns == 0) cairo_translate(c, 0, high);
        draw_tile(c, &tiles[i], x, width_of(&tiles[i], size), size);
        x += width_of(&tiles[i], size) + GAP;
    }
    if (barred) draw_bar(c, barred, x, size);
    cairo_status_t drawn = cairo_status(c);
    cairo_destroy(c);
    hct_status status;
    hct_outfile *f = drawn == CAIRO_STATUS_SUCCESS ? hct_outfile_open(path, err) : NULL;
    if (f && cairo_surface_write_to_png_stream(s, to_file, f) == CAIRO_STATUS_SUCCESS) {
        status = hct_outfile_close(f, err);
    } else {
        status = f || drawn != CAIRO_STATUS_SUCCESS
                     ? hct_fail(err, HCT_ENOMEM, "%s: cairo could not draw it: %s", path, cairo_status_to_string(drawn))
                     : hct_outfile_close(NULL, err);
        hct_outfile_discard(f);
    }
    cairo_surface_destroy(s);
    return status;
}

unsigned char *picture_rgb(const char *path, int *ret_rows, int *ret_columns, hct_err *err) {
    cairo_surface_t *s = cairo_image_surface_create_from_png(path);
    const cairo_status_t read = cairo_surface_status(s);
    const cairo_format_t format =
        read == CAIRO_STATUS_SUCCESS ? cairo_image_surface_get_format(s) : CAIRO_FORMAT_INVALID;
    unsigned char *rgb = NULL;
    if (format != CAIRO_FORMAT_RGB24 && format != CAIRO_FORMAT_ARGB32)
        hct_fail(err, HCT_EFORMAT, "%s: is no picture of three colours: %s", path, cairo_status_to_string(read));
    else {
        const int rows = cairo_image_surface_get_height(s), columns = cairo_image_surface_get_width(s),
                  stride = cairo_image_surface_get_stride(s);
        const unsigned char *from = cairo_image_surface_get_data(s);
        rgb = malloc((size_t)rows * (size_t)columns * 3 + 1);
        if (!rgb) hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
        for (int y = 0; rgb && y < rows; y++)
            for (int x = 0; x < columns; x++) {
                uint32_t pixel; /* of this machine's order */
                memcpy(&pixel, from + (size_t)y * (size_t)stride + (size_t)x * 4, sizeof pixel);
                unsigned char *to = rgb + ((size_t)y * (size_t)columns + (size_t)x) * 3;
                for (int c = 0; c < 3; c++) to[c] = (unsigned char)(pixel >> (16 - 8 * c));
            }
        *ret_rows = rows;
        *ret_columns = columns;
    }
    cairo_surface_destroy(s);
    return rgb;
}
