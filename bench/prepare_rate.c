/* prepare_rate SCAN OUT.nii REPEATS: prepares a scan REPEATS times, from the file to the 224^3 int16 volume in
 * memory, and prints the seconds of each; then writes the volume, for bench/preprocess to compare. */
#include <stdio.h>
#include <stdlib.h>

#include "imaging/nifti.h"
#include "imaging/scan.h"
#include "support/measure.h"

int main(int argc, char **argv) {
    hct_err err = {0, ""};
    volume v = {0};
    int repeats = argc == 4 ? atoi(argv[3]) : 0;
    if (repeats < 1) {
        fputs("usage: prepare_rate SCAN OUT.nii REPEATS\n", stderr);
        return 2;
    }
    printf("seconds");
    for (int i = 0; i < repeats; i++) {
        volume_free(&v);
        double began = measure_now();
        if (scan_open(argv[1], 0, &v, NULL, &err) < 0) break;
        printf(" %.6f", measure_now() - began);
    }
    printf("\n");
    if (!err.code) nifti_write(argv[2], &v, 1, &err);
    volume_free(&v);
    if (err.code) fprintf(stderr, "prepare_rate: %s\n", err.msg);
    return err.code ? 1 : 0;
}
