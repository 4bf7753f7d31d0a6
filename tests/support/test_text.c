/* support/text.h, paths.h, sha256.h and progress.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "hct/nearest.h"
#include "scratch.h"
#include "support/markdown.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/sha256.h"
#include "support/text.h"

START_TEST(numbers_are_whole_strings) {
    double d = 7;
    int64_t i = 7;
    bool b = false;
    ck_assert(text_double(" 1.5e-3 ", &d) && d == 1.5e-3);
    ck_assert(!text_double("1.5x", &d) && !text_double("", &d) && !text_double("  ", &d) && d == 1.5e-3);
    ck_assert(text_double("nan", &d) && isnan(d));
    ck_assert(text_int64("-42", &i) && i == -42);
    ck_assert(!text_int64("4.2", &i) && !text_int64("99999999999999999999", &i) && i == -42);
    ck_assert(text_bool("Yes", &b) && b && text_bool("off", &b) && !b && !text_bool("maybe", &b));
}
END_TEST

START_TEST(nearest_name) {
    const char *names[] = {"batch", "epochs", "weight_decay", "lr"};
    ck_assert_uint_eq(hct_name_distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(hct_name_distance("ab", "ba"), 1);
    ck_assert_uint_eq(hct_name_distance("", "abc"), 3);
    ck_assert_uint_eq(hct_name_distance("LR", "lr"), 0);
    ck_assert_str_eq(hct_name_nearest("epoch", names, 4), "epochs");
    ck_assert_str_eq(hct_name_nearest("wieght_decay", names, 4), "weight_decay");
    ck_assert_ptr_null(hct_name_nearest("zzzzzz", names, 4));
}
END_TEST

START_TEST(doubles_read_back) {
    const double values[] = {0, 0.1, 1.0 / 3, 1e-300, 123456789, -2.5, INFINITY};
    char buffer[32];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        ck_assert_double_eq(strtod(text_of_double(values[i], buffer), NULL), values[i]);
    ck_assert_str_eq(text_of_double(0.1, buffer), "0.1");
    ck_assert_str_eq(text_of_double(2800, buffer), "2800");
    ck_assert_str_eq(text_of_double(NAN, buffer), "nan");
}
END_TEST

START_TEST(markdown_shows_names_as_they_are) {
    text_buffer t = {0};
    markdown_text(&t, "<script>a|b`c\n\x1b[31m&_*");
    ck_assert_str_eq(text_get(&t, "", NULL), "&lt;script&gt;a\\|b\\`c \\x1b\\[31m&amp;\\_\\*");
    text_clear(&t);
    markdown_code(&t, "a`b|c");
    ck_assert_str_eq(text_get(&t, "", NULL), "`a'b\xc2\xa6"
                                             "c`");
    text_clear(&t);
    markdown_block(&t, "yaml", "a: ```\n<b>");
    ck_assert_str_eq(text_get(&t, "", NULL), "````yaml\na: ```\n<b>\n````\n");
    text_free(&t);
    ck_assert_ptr_null(text_control("plain \xc3\xa9"));
    ck_assert_ptr_nonnull(text_control("a\x1b[31m"));
    ck_assert_ptr_nonnull(text_control("a\xc2\x9b"
                                       "31m"));
}
END_TEST

START_TEST(text_grows) {
    text_buffer t = {0};
    for (int i = 0; i < 1000; i++) text_printf(&t, "%d,", i);
    text_add(&t, "end", 3);
    const char *whole = text_get(&t, "", NULL);
    ck_assert_uint_eq(text_length(&t), strlen(whole));
    ck_assert_uint_eq(text_length(&t), 10 * 2 + 90 * 3 + 900 * 4 + 3);
    text_free(&t);
    ck_assert_str_eq(text_get(&t, "", NULL), "");
    char *taken = text_take(&t, "", NULL);
    ck_assert_str_eq(taken, "");
    free(taken);
}
END_TEST

START_TEST(paths) {
    char *p = path_join("a/b", "c");
    ck_assert_str_eq(p, "a/b/c");
    free(p);
    ck_assert_str_eq(p = path_join("a/", "/c"), "/c");
    free(p);
    ck_assert_str_eq(path_base("a/b.c"), "b.c");
    ck_assert_str_eq(p = path_stem("x/scan.v2.nii.gz"), "scan.v2");
    free(p);
    ck_assert_str_eq(p = path_stem(".hidden"), ".hidden");
    free(p);
    hct_err err = {0};
    ck_assert_int_eq(path_make_folders(scratch_path("m/n/o"), &err), HCT_OK);
    ck_assert_int_eq(path_make_folders(scratch_path("m/n/o"), &err), HCT_OK);
    ck_assert(path_is_folder(scratch_path("m/n/o")) && !path_is_file(scratch_path("m/n/o")));
    scratch_file("m/b.txt", "", 0);
    scratch_file("m/a.txt", "", 0);
    ck_assert_int_lt(path_make_folders(scratch_path("m/a.txt/x"), &err), 0);
    char **names;
    size_t n;
    ck_assert_int_eq(path_list(scratch_path("m"), ".txt", &names, &n, &err), HCT_OK);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(names[0], "a.txt");
    free(names[0]);
    free(names[1]);
    free(names);
    ck_assert_int_eq(path_list(scratch_path("none"), "", &names, &n, &err), HCT_ENOTFOUND);
}
END_TEST

START_TEST(sha256_of_known_texts) { /* FIPS 180-4 examples */
    char hex[SHA256_HEX];
    ck_assert_int_eq(sha256_bytes("abc", 3, hex, NULL), HCT_OK);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_int_eq(sha256_bytes("", 0, hex, NULL), HCT_OK);
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    ck_assert_int_eq(sha256_file(scratch_file("abc", "abc", 3), hex, NULL), HCT_OK);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_int_eq(sha256_file(scratch_path("none"), hex, NULL), HCT_ENOTFOUND);
}
END_TEST

START_TEST(progress_in_a_log) {
    char text[256] = "", clock[32];
    FILE *f = fopen(scratch_path("log"), "w+");
    progress p = progress_begin(f, "step", 10, 40, "scans", 4);
    progress_show(&p, 20, "loss 1"); /* too early for a log line */
    p.shown = -100;
    progress_show(&p, 25, "loss 0.5");
    p.done = 40;
    progress_end(&p, "");
    rewind(f);
    ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
    ck_assert_msg(strstr(text, "step 25/40  62%  loss 0.5  ") && strstr(text, "scans/s  ETA 0:0"), "%s", text);
    ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
    ck_assert_msg(strstr(text, "step 40/40 100%") && strstr(text, "took 0:00"), "%s", text);
    ck_assert_ptr_null(fgets(text, sizeof text, f));
    fclose(f);
    ck_assert_str_eq(progress_time(3723, clock), "1:02:03");
    ck_assert_str_eq(progress_time(62, clock), "1:02");
    progress quiet = progress_begin(NULL, "step", 0, 1, "scans", 1);
    progress_show(&quiet, 1, "");
    progress_end(&quiet, "");
}
END_TEST

CHECK_MAIN("text", numbers_are_whole_strings, nearest_name, doubles_read_back, text_grows,
           markdown_shows_names_as_they_are, paths, sha256_of_known_texts, progress_in_a_log)
