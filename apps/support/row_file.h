/* A CSV that grows row by row and survives any kill: a row is there whole or, after the next opening, not at all.
 * PATH.json beside it says, before the first row is written, what made the rows; rows made otherwise are never mixed
 * in. */
#ifndef SUPPORT_ROW_FILE_H
#define SUPPORT_ROW_FILE_H

#include "support/csv.h"
#include "support/text.h"

typedef struct row_file row_file;

/* Makes the file with this header (a text that ends in a line end), or opens it: cuts off a half row, locks it
 * against another process. origin: one JSON object; HCT_EINVAL where the file's differs, naming the first member
 * that does, or where the header does. *ret_rows: the rows that were there (csv_free). */
row_file *row_file_open(const char *path, const char *header, const char *origin, csv **ret_rows, hct_err *err);
/* Appends whole rows and puts them on the disk. On failure (full disk) the file is as before. */
hct_status row_file_add(row_file *f, const text_buffer *rows, hct_err *err);
/* Takes away all rows from number `row` on (0: the first below the header), before any is added. */
hct_status row_file_cut(row_file *f, size_t row, hct_err *err);
/* f may be NULL. */
void row_file_close(row_file *f);

#endif
