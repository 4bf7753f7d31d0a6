/* headct evaluate and headct report as a user runs them: tables in, numbers out, every refusal with its reason. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "hct/io.h"
#include "headct_run.h"
#include "scratch.h"
#include "support/csv.h"
#include "support/paths.h"

static void put(const char *name, const char *text) { scratch_file(name, text, strlen(text)); }

static void assert_says(int got, int want, const char *what) {
    ck_assert_msg(got == want && strstr(headct_said, what), "exit %d, wanted %d and \"%s\":\n%s", got, want, what,
                  headct_said);
}

/* Six scans: task A is told apart perfectly but for one tie, B has one class. */
static const char *const SELF = "scan,patient,split,A,B,y_A,y_B\n"
                                "s1,p1,test,0.9,0.1,1,0\ns2,p1,test,0.8,0.2,1,0\ns3,p2,test,0.5,0.3,1,0\n"
                                "s4,p3,test,0.5,0.4,0,0\ns5,p4,test,0.2,0.5,0,0\ns6,p5,train,0.1,0.6,,0\n";

START_TEST(labels_in_the_same_file) {
    put("p.csv", SELF);
    int status = headct_run("evaluate -p %s --out %s --seed 3", scratch_path("p.csv"), scratch_path("out"));
    assert_says(status, 0, "undefined");
    char *text;
    ck_assert_int_eq(hct_read_file(scratch_path("out/metrics.json"), &text, NULL, NULL), HCT_OK);
    cJSON *json = cJSON_Parse(text);
    const cJSON *tasks = cJSON_GetObjectItem(json, "tasks"), *a = cJSON_GetArrayItem(tasks, 0),
                *b = cJSON_GetArrayItem(tasks, 1);
    const cJSON *auc = cJSON_GetObjectItem(a, "roc_auc");
    ck_assert_str_eq(cJSON_GetObjectItem(a, "task")->valuestring, "A");
    ck_assert_double_eq_tol(cJSON_GetObjectItem(auc, "value")->valuedouble, 5.5 / 6, 1e-15);
    ck_assert_double_eq(cJSON_GetObjectItem(a, "positives")->valuedouble, 3);
    ck_assert_double_eq(cJSON_GetObjectItem(a, "negatives")->valuedouble, 2); /* s6 is not known */
    ck_assert(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(b, "roc_auc"), "value")));
    const cJSON *macro = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "macro"), "roc_auc");
    ck_assert_double_eq_tol(cJSON_GetObjectItem(macro, "value")->valuedouble, 5.5 / 6, 1e-15);
    ck_assert_double_eq(cJSON_GetObjectItem(json, "resamples")->valuedouble, 100);
    cJSON_Delete(json);
    free(text);
    csv *t = csv_read(scratch_path("out/metrics.csv"), NULL);
    ck_assert_uint_eq(t->rows, 3);
    ck_assert_str_eq(csv_cell(t, 1, (size_t)csv_column(t, "roc_auc")), "undefined");
    csv_free(t);
    ck_assert(path_is_file(scratch_path("out/figures/roc_A.svg")) &&
              !path_is_file(scratch_path("out/figures/roc_B.svg")));
}
END_TEST

START_TEST(labels_from_a_table) {
    put("p.csv", "scan,A,B,C\ns1,0.9,0,0\ns2,0.1,1,0\ns3,0.2,0,1\n");
    put("l.csv", "patient,scan,B,A\np,s3,1,0\np,s1,0,1\np,s2,1,0\np,s9,1,1\n");
    assert_says(headct_run("evaluate -p %s -l %s --bootstrap 0", scratch_path("p.csv"), scratch_path("l.csv")), 0,
                "1 tasks have no labels");
    ck_assert_msg(strstr(headct_said, "A                        1         2   1.000"), "%s", headct_said);
    ck_assert_msg(strstr(headct_said, "B                        2         1   0.750"), "%s", headct_said);
    assert_says(headct_run("evaluate -p %s -l %s --tasks A", scratch_path("p.csv"), scratch_path("l.csv")), 0, "1.000");
    ck_assert_msg(!strstr(headct_said, "\nB "), "%s", headct_said);
}
END_TEST

START_TEST(comparison_in_any_order) {
    put("p.csv", SELF);
    put("q.csv", "scan,B,A\ns6,0,0.1\ns5,0,0.2\ns4,0,0.3\ns3,0,0.4\ns2,0,0.5\ns1,0,0.6\n");
    int status =
        headct_run("evaluate -p %s --compare %s --permutations 50", scratch_path("p.csv"), scratch_path("q.csv"));
    assert_says(status, 0, "paired permutation test, 50 permutations");
    ck_assert_msg(strstr(headct_said, "A                    0.917     1.000       -0.083     -8.33%"), "%s",
                  headct_said);
    put("q.csv", "scan,A,B\ns1,1,0\n");
    assert_says(headct_run("evaluate -p %s --compare %s", scratch_path("p.csv"), scratch_path("q.csv")), 1,
                "scan 's2' is not in");
    put("q.csv", "scan,A\ns1,1\ns2,1\ns3,1\ns4,1\ns5,1\ns6,1\n");
    assert_says(headct_run("evaluate -p %s --compare %s", scratch_path("p.csv"), scratch_path("q.csv")), 1,
                "task 'B' is not in");
}
END_TEST

/* One patient has all positives, the other all negatives, in turn: half of the resamples of patients miss a class, of
 * ten scans hardly any. */
START_TEST(patients_are_resampled_whole) {
    put("p.csv", "scan,patient,A,y_A\n1,p,1,1\n2,q,0,0\n3,p,2,1\n4,q,1,0\n5,p,3,1\n6,q,2,0\n7,p,4,1\n8,q,3,0\n9,p,5,1\n"
                 "10,q,4,0\n");
    int skipped = 0;
    ck_assert_int_eq(headct_run("evaluate -p %s --by-patient", scratch_path("p.csv")), 0);
    const char *said = strstr(headct_said, " resamples had one class");
    while (said && said[-1] != ' ') said--;
    if (said) skipped = atoi(said);
    ck_assert_msg(skipped >= 30 && skipped <= 70, "%s", headct_said);
    ck_assert_int_eq(headct_run("evaluate -p %s", scratch_path("p.csv")), 0);
    ck_assert_msg(!strstr(headct_said, "had one class") || strstr(headct_said, " 1 resamples had"), "%s", headct_said);
}
END_TEST

START_TEST(refusals) {
    const struct {
        const char *text, *options, *says;
    } bad[] = {
        {"", "", "is empty"},
        {"scan,patient\ns1,p\n", "", "no column holds a task"},
        {"scam,A,y_A\ns1,1,1\n", "", "column 'scan' is missing; it has: scam"},
        {"scan,A,y_A\n", "", "holds no scan"},
        {"scan,A,y_A\ns1,nan,1\n", "", "p.csv:2: column 'A': 'nan' is not a finite number"},
        {"scan,A,y_A\ns1,inf,1\n", "", "is not a finite number"},
        {"scan,A,y_A\ns1,,1\n", "", "is not a finite number"},
        {"scan,A,y_A\ns1,0.5,2\n", "", "column 'y_A': '2' is not 1, 0 or empty"},
        {"scan,A,y_A\ns1,0.5,1\ns1,0.5,0\n", "", "scan 's1' is there twice"},
        {"scan,A\ns1,0.5\n", "", "no task has labels"},
        {"scan,A,y_A\ns1,0.5,1\n", "--split test", "no column 'split'"},
        {"scan,split,A,y_A\ns1,train,0.5,1\n", "--split test", "holds no scan of split test"},
        {"scan,A,y_A\ns1,0.5,1\n", "--tasks AA", "no task 'AA' in the predictions; did you mean 'A'"},
        {"scan,A,y_A\ns1,0.5,1\n", "--labels /nowhere.csv", "/nowhere.csv"},
        {"scan,A,y_A\ns1,0.5,1\n", "--out /proc/nowhere", "/proc/nowhere"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("p.csv", bad[i].text);
        assert_says(headct_run("evaluate -p %s %s", scratch_path("p.csv"), bad[i].options), 1, bad[i].says);
    }
    put("p.csv", "scan,A\ns1,0.5\n");
    put("l.csv", "scan,patient,A\nother,p,1\n");
    assert_says(headct_run("evaluate -p %s -l %s", scratch_path("p.csv"), scratch_path("l.csv")), 1,
                "labels of 0 of the 1 scans");
    assert_says(headct_run("evaluate -p %s --bootstrap x", scratch_path("p.csv")), 2, "--bootstrap x");
    assert_says(headct_run("evaluate"), 2, "--predictions or --run");
    assert_says(headct_run("evaluate --run %s", scratch_path("none")), 1, "none/predictions.csv");
}
END_TEST

START_TEST(a_run_and_its_report) {
    ck_assert_int_eq(path_make_folders(scratch_path("run"), NULL), HCT_OK);
    char *html;
    put("run/predictions.csv", SELF);
    put("run/metrics.jsonl",
        "{\"step\":1,\"phase\":\"train\",\"loss\":2}\n{\"step\":2,\"phase\":\"train\",\"loss\":1}\n"
        "{\"step\":2,\"phase\":\"validation\",\"loss\":1.5}\n");
    put("run/recipe.yaml", "name: \"<b>\"\n");
    put("run/p.csv", SELF);
    assert_says(headct_run("report %s", scratch_path("run")), 0, "run/report.html"); /* not evaluated yet */
    ck_assert_int_eq(hct_read_file(scratch_path("run/report.html"), &html, NULL, NULL), HCT_OK);
    ck_assert_ptr_nonnull(strstr(html, "not evaluated yet: headct evaluate --run"));
    free(html);
    assert_says(headct_run("evaluate --run %s --split all --out %s", scratch_path("run"), scratch_path("all")), 0,
                "\n6 scans;");
    assert_says(headct_run("evaluate --run %s", scratch_path("run")), 0, "\n5 scans;"); /* test alone */
    assert_says(headct_run("evaluate --run %s --by-patient", scratch_path("run")), 0, "resamples of patients");
    assert_says(headct_run("evaluate --run %s --compare %s", scratch_path("run"), scratch_path("run/p.csv")), 0,
                "1.0000");
    assert_says(headct_run("report %s", scratch_path("run")), 0, "run/report.html");
    ck_assert_int_eq(hct_read_file(scratch_path("run/report.html"), &html, NULL, NULL), HCT_OK);
    const char *wanted[] = {"Loss over optimiser steps", "0.917 (",        "undefined",
                            "ROC of A; bands",           "other AUC</th>", "name: &quot;&lt;b&gt;&quot;"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) ck_assert_msg(strstr(html, wanted[i]), "%s", wanted[i]);
    free(html);
    assert_says(headct_run("report %s %s --out %s --title 'Two runs'", scratch_path("run"), scratch_path("run"),
                           scratch_path("two.html")),
                0, "two.html");
    ck_assert_int_eq(hct_read_file(scratch_path("two.html"), &html, NULL, NULL), HCT_OK);
    ck_assert(strstr(html, "<h1>Two runs</h1>") && strstr(html, "Macro means"));
    free(html);
    path_make_folders(scratch_path("bare"), NULL);
    assert_says(headct_run("report %s", scratch_path("bare")), 1, "holds no metrics.jsonl");
    assert_says(headct_run("report %s", scratch_path("absent")), 1, "no such run folder");
    assert_says(headct_run("report"), 2, "RUN is missing");
    put("run/metrics.json", "{\"tasks\": 3}");
    assert_says(headct_run("report %s", scratch_path("run")), 1, "is not what headct evaluate writes");
}
END_TEST

CHECK_MAIN("evaluate", labels_in_the_same_file, labels_from_a_table, comparison_in_any_order,
           patients_are_resampled_whole, refusals, a_run_and_its_report)
