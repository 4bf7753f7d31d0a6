/* support/json_out.h: what is written reads back the same, and memory that runs out is told. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "scratch.h"
#include "support/json_out.h"

static void fill(json_out *j) {
    json_object(j, NULL);
    json_text(j, "a \"b\"\\", "line\nend\t\x1b[31m \xc3\xa9");
    json_array(j, "list");
    json_number(j, NULL, 0.1);
    json_number(j, NULL, NAN);
    json_whole(j, NULL, INT64_C(-9007199254740993));
    json_bool(j, NULL, true);
    json_null(j, NULL);
    json_array(j, NULL);
    json_end(j);
    json_end(j);
    json_object(j, "inner");
    json_text(j, "not UTF-8",
              "a\xff"
              "b");
    json_end(j);
    json_end(j);
}

START_TEST(reads_back) {
    for (int pretty = 0; pretty < 2; pretty++) {
        json_out j = {.pretty = pretty != 0};
        fill(&j);
        char *text = json_take(&j, "test", NULL);
        cJSON *root = cJSON_Parse(text);
        ck_assert_msg(root != NULL, "no JSON: %s", text);
        ck_assert_str_eq(root->child->string, "a \"b\"\\");
        ck_assert_str_eq(root->child->valuestring, "line\nend\t\x1b[31m \xc3\xa9");
        ck_assert_msg(!strchr(text, '\x1b'), "an escape sequence is left");
        const cJSON *list = cJSON_GetObjectItem(root, "list");
        ck_assert_int_eq(cJSON_GetArraySize(list), 6);
        ck_assert_double_eq(cJSON_GetArrayItem(list, 0)->valuedouble, 0.1);
        ck_assert(cJSON_IsNull(cJSON_GetArrayItem(list, 1)) && cJSON_IsTrue(cJSON_GetArrayItem(list, 3)));
        ck_assert_ptr_nonnull(strstr(text, "-9007199254740993"));
        ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetArrayItem(list, 5)), 0);
        ck_assert_str_eq(cJSON_GetObjectItem(cJSON_GetObjectItem(root, "inner"), "not UTF-8")->valuestring,
                         "a\xef\xbf\xbd"
                         "b");
        cJSON_Delete(root);
        free(text);
    }
}
END_TEST

START_TEST(lack_of_memory_is_told) {
    json_out j = {0};
    hct_err err = {0};
    fill(&j);
    j.text.failed_ = true; /* as after a realloc() that failed */
    const char *path = scratch_file("old.json", "old", 3);
    ck_assert_int_eq(json_save(&j, path, &err), HCT_ENOMEM);
    ck_assert_ptr_nonnull(strstr(err.msg, "old.json: out of memory"));
    char *now;
    ck_assert_int_eq(hct_read_file(path, &now, NULL, NULL), HCT_OK);
    ck_assert_str_eq(now, "old");
    free(now);
}
END_TEST

CHECK_MAIN("json_out", reads_back, lack_of_memory_is_told)
