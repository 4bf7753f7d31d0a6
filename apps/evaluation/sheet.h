/* A result as a table: filled row by row, printed in columns, written as CSV with every digit. Errors stay inside and
 * come out where it is written.
 *
 *   sheet *s = sheet_new("subgroups", "Subgroups", "task,group,scans,roc_auc");
 *   sheet_text(s, "IPH"); sheet_text(s, "sex M"); sheet_count(s, 120); sheet_number(s, 0.912345, 3);
 *   status = sheet_write(s, "results", &err);                                    results/subgroups.csv
 */
#ifndef EVALUATION_SHEET_H
#define EVALUATION_SHEET_H

#include <stdio.h>

#include "hct/types.h"

typedef struct sheet sheet;

/* columns: names with commas between. NULL without memory; every function takes NULL, and sheet_write says so. */
sheet *sheet_new(const char *name, const char *title, const char *columns);
void sheet_free(sheet *s);
void sheet_text(sheet *s, const char *text);
void sheet_count(sheet *s, size_t n);
/* decimals: as printed; NaN is printed and written as "undefined". */
void sheet_number(sheet *s, double v, int decimals);
/* A p-value: "< 0.0001" as printed where it is below that; the CSV has all digits. */
void sheet_p(sheet *s, double p);
/* Whole rows so far. */
size_t sheet_rows(const sheet *s);

/* Title and table; nothing where there are no rows. */
void sheet_print(const sheet *s, FILE *f);
/* FOLDER/NAME.csv; the folder is made. */
hct_status sheet_write(const sheet *s, const char *folder, hct_err *err);

#endif
