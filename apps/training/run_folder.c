#include "training/run_folder.h"

#include <stdlib.h>

#include "hct/io.h"
#include "support/paths.h"

hct_status run_folder_open(const char *run, const char *sub, const recipe *r, hct_err *err) {
    char *folder = path_join(run, sub ? sub : ""), *file = path_join(run, "recipe.yaml");
    hct_status st = folder && file ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) {
        text_buffer text = {0};
        recipe_text(r, &text);
        hct_outfile *f = hct_outfile_open(file, err);
        hct_outfile_write(f, text.bytes, text.length);
        st = hct_outfile_close(f, err);
        free(text.bytes);
    }
    free(folder);
    free(file);
    return st;
}
