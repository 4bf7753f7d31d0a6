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
#include "support/text.h"

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

START_TEST(names_with_endings_and_pooled_splits) {
    put("p.csv", "scan,A\na.nii.gz,0.1\nb.nii,0.9\n"); /* as files are called, in one table or the other */
    put("l.csv", "scan,patient,A\na,p,0\nb.nii.gz,q,1\n");
    assert_says(headct_run("evaluate -p %s -l %s --bootstrap 0", scratch_path("p.csv"), scratch_path("l.csv")), 0,
                "1.000");
    put("s.csv", SELF);
    assert_says(headct_run("evaluate -p %s --bootstrap 0", scratch_path("s.csv")), 0,
                "2 splits are pooled (test 5, train 1): --split takes one");
    headct_run("evaluate -p %s --bootstrap 0 --split test", scratch_path("s.csv"));
    ck_assert_ptr_null(strstr(headct_said, "pooled"));
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
    assert_says(headct_run("evaluate -p %s --compare %s", scratch_path("p.csv"), scratch_path("q.csv")), 0,
                "1 of the first one's 6 scans are in all of them");
    put("q.csv", "scan,A,B\nt1,1,0\n");
    assert_says(headct_run("evaluate -p %s --compare %s", scratch_path("p.csv"), scratch_path("q.csv")), 1,
                "no scan of 'p' is in the predictions of all the other models");
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
    ck_assert_int_eq(headct_run("evaluate -p %s --by-patient --scores", scratch_path("p.csv")), 0);
    const char *said = strstr(headct_said, " resamples had one class");
    while (said && said[-1] != ' ') said--;
    if (said) skipped = atoi(said);
    ck_assert_msg(skipped >= 30 && skipped <= 70, "%s", headct_said);
    ck_assert_int_eq(headct_run("evaluate -p %s --scores", scratch_path("p.csv")), 0);
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
        {"scan,A,y_A\ns1,0.5,1\ns2,2.3,0\n", "", "scan 's2', task 'A' has 2.3, which is no probability from 0 to 1"},
        {"scan,A,y_A\ns1,-0.1,1\n", "", "say --logits"},
        {"scan,A,y_A\ns1,0.5,1\n", "--models-in-columns --scan-column nam", "no column 'nam'"},
        {"scan,A,y_A\ns1,0.5,1\n", "--models-in-columns", "'label'"},
        {"scan,label,m\ns1,2,0.5\n", "--models-in-columns", "column 'label': '2' is not 1, 0 or empty"},
        {"scan,label,m\ns1,1,x\n", "--models-in-columns", "p.csv:2: column 'm': 'x' is not a finite number"},
        {"scan,label,m\ns1,1,0.5\ns1,0,0.1\n", "--models-in-columns", "scan 's1' is there twice"},
        {"scan,label\ns1,1\n", "--models-in-columns", "has no column of a model beside"},
        {"scan,model,task,prob,label\ns1,m,A,0.5,1\ns1,m,A,0.5,1\n", "", "p.csv:3: model 'm', task 'A': scan 's1' is"},
        {"scan,model,task,prob,label\ns1,m,A,0.5,1\ns2,m,A,0.5,1\ns1,m,B,1,1\n", "",
         "model 'm' has no row of scan 's2' for task 'B'"},
        {"scan,model,task,prob,label\ns1,m,A,nan,1\n", "", "column 'prob': 'nan'"},
        {"scan,model,task,prob\ns1,m,A,0.1\n", "", "no task has labels"},
        {"scan,A,y_A\ns1,0.5,1\n", "--by sex --groups /nowhere.csv", "/nowhere.csv"},
        {"scan,A,y_A\ns1,0.5,1\n", "--operating youden", "say with --validation SPLIT"},
        {"scan,split,A,y_A\ns1,test,0.5,1\n", "--calibrate platt --validation test --split test", "must be others"},
        {"scan,split,A,y_A\ns1,test,0.5,1\ns2,val,0.5,1\n", "--calibrate platt --validation val --split test",
         "task 'A' on validation: a calibration needs positive and negative cases; there are 1 and 0"},
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
    assert_says(headct_run("evaluate"), 2, "a table is needed: FILE, --predictions or --run");
    assert_says(headct_run("evaluate --run %s", scratch_path("none")), 1, "none/predictions.csv");
}
END_TEST

/* Ten scans of two groups; inside the first the scores are perfect, inside the second they are reversed. */
START_TEST(subgroups) {
    put("p.csv", "scan,A,y_A\n1,0.9,1\n2,0.8,1\n3,0.2,0\n4,0.1,0\n5,0.7,0\n6,0.6,0\n7,0.3,1\n8,0.4,1\n9,0.5,1\n");
    put("g.csv", "scan,sex,age\n1,M,20\n2,M,39.9\n3,M,40\n4,M,80\n5,F,10\n6,F,90\n7,F,65\n8,F,50\n9,,\n");
    assert_says(headct_run("evaluate %s --by sex --by age:18-40-80 --groups %s --out %s", scratch_path("p.csv"),
                           scratch_path("g.csv"), scratch_path("sub")),
                0, "fewer than 10 positives");
    csv *t = csv_read(scratch_path("sub/subgroups.csv"), NULL);
    ck_assert_ptr_nonnull(t);
    static const char *const want[][4] = {{"all", "9", "5", ""},      {"M", "4", "2", "1"},
                                          {"F", "4", "2", "0"},       {"not known", "1", "1", ""},
                                          {"all", "9", "5", ""},      {"below 18", "1", "0", ""},
                                          {"18 to 40", "2", "2", ""}, {"40 to 80", "4", "2", ""},
                                          {"above 80", "1", "0", ""}, {"not known", "1", "1", ""}};
    ck_assert_uint_eq(t->rows, sizeof want / sizeof *want);
    for (size_t r = 0; r < t->rows; r++) {
        ck_assert_str_eq(csv_cell(t, r, 2), want[r][0]);
        ck_assert_str_eq(csv_cell(t, r, 3), want[r][1]);
        ck_assert_str_eq(csv_cell(t, r, 4), want[r][2]);
        if (*want[r][3]) ck_assert_str_eq(csv_cell(t, r, 6), want[r][3]);
    }
    ck_assert_str_eq(csv_cell(t, 3, 6), "undefined");
    ck_assert_ptr_nonnull(strstr(csv_cell(t, 3, 11), "one class"));
    csv_free(t);
    ck_assert(path_is_file(scratch_path("sub/figures/forest_sex_A.svg")));
    const char *p = scratch_path("p.csv");
    assert_says(headct_run("evaluate %s --by sxe --groups %s", p, scratch_path("g.csv")), 1, "sex");
    assert_says(headct_run("evaluate %s --by sex:1-2 --groups %s", scratch_path("p.csv"), scratch_path("g.csv")), 1,
                "sex is 'M', which is no number");
    assert_says(headct_run("evaluate %s --by age:40-18 --groups %s", scratch_path("p.csv"), scratch_path("g.csv")), 1,
                "rising numbers");
    assert_says(headct_run("evaluate %s --by sex", scratch_path("p.csv")), 2, "--by needs --groups");
    put("g.csv", "scan,sex\nx,M\n");
    assert_says(headct_run("evaluate %s --by sex --groups %s", scratch_path("p.csv"), scratch_path("g.csv")), 1,
                "has none of these scans");
}
END_TEST

/* Thresholds come from validation alone: on test the same numbers are counted. */
START_TEST(chosen_on_validation) {
    put("p.csv", "scan,split,A,y_A\n1,val,0.9,1\n2,val,0.6,1\n3,val,0.5,0\n4,val,0.1,0\n5,test,0.95,0\n6,test,0.7,1\n"
                 "7,test,0.55,1\n8,test,0.2,0\n9,test,0.3,1\n");
    assert_says(headct_run("evaluate %s --split test --validation val --operating youden --operating specificity:0.5 "
                           "--calibrate none --out %s",
                           scratch_path("p.csv"), scratch_path("op")),
                0, "Operating points");
    csv *t = csv_read(scratch_path("op/operating_points.csv"), NULL);
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(t->rows, 2);
    static const char *const want[] = {"0.6", "1", "1", "1", "2"};
    for (int i = 0; i < 5; i++) ck_assert_str_eq(csv_cell(t, 0, 2 + (size_t)i), want[i]);
    ck_assert_str_eq(csv_cell(t, 1, 2), "0.5");
    csv_free(t);
    ck_assert(path_is_file(scratch_path("op/calibration.csv")) &&
              path_is_file(scratch_path("op/figures/reliability_A.svg")));
    put("p.csv", "scan,A,y_A\n1,3,1\n2,1,1\n3,-1,0\n");
    assert_says(headct_run("evaluate %s --logits --calibrate none", scratch_path("p.csv")), 0, "Calibration");
    ck_assert_msg(strstr(headct_said, "0.0490  0.1951  undefined"), "%s", headct_said); /* 0.953, 0.731, 0.269 */
    assert_says(headct_run("evaluate %s --scores", scratch_path("p.csv")), 0, "1.000");
    assert_says(headct_run("evaluate %s --scores --calibrate none", scratch_path("p.csv")), 2, "needs probabilities");
    assert_says(headct_run("evaluate %s --operating best", scratch_path("p.csv")), 2, "'best' is no operating point");
}
END_TEST

/* A wide and a long table of the same three models say the same; every pair is tested. */
START_TEST(several_models) {
    text_buffer wide = {0}, narrow = {0};
    text_printf(&wide, "name,label,m1,m2,m3\n");
    text_printf(&narrow, "scan,model,task,prob,label\n");
    for (int i = 0; i < 40; i++) {
        int y = i % 3 == 0;
        double s[3] = {(y * 30 + i * 7 % 60) / 100.0, (y * 10 + i * 13 % 61) / 100.0, (i * 29 % 37) / 100.0};
        text_printf(&wide, "s%d,%d,%g,%g,%g\n", i, y, s[0], s[1], s[2]);
        for (int m = 0; m < 3; m++) text_printf(&narrow, "s%d,m%d,label,%g,%d\n", i, m + 1, s[m], y);
    }
    text_save(&wide, scratch_path("wide.csv"), NULL);
    text_save(&narrow, scratch_path("long.csv"), NULL);
    text_free(&wide);
    text_free(&narrow);
    char a[300], b[300];
    snprintf(a, sizeof a, "%s", scratch_path("a"));
    snprintf(b, sizeof b, "%s", scratch_path("b"));
    assert_says(headct_run("evaluate %s --models-in-columns --scan-column name --label-column label --out %s -q",
                           scratch_path("wide.csv"), a),
                0, "3 models; 40 of the first one's 40 scans");
    assert_says(headct_run("evaluate %s --out %s --threads 1 -q", scratch_path("long.csv"), b), 0, "3 models");
    csv *t = csv_read(scratch_path("a/comparisons.csv"), NULL);
    ck_assert_uint_eq(t->rows, 3);
    csv_free(t);
    shell("for f in models.csv comparisons.csv p_matrix.csv metrics.csv; do cmp %s/$f %s/$f || exit 1; done", a, b);
    put("p.csv", SELF);
    assert_says(headct_run("evaluate %s %s", scratch_path("p.csv"), scratch_path("p.csv")), 1,
                "there is a model 'p' already");
}
END_TEST

/* Two labels whose names differ only in what no file name holds have a figure each; a report copies nothing that a
 * link in the run leads to. */
START_TEST(figures_are_the_runs_own) {
    put("names.csv", "scan,a b,a_b,y_a b,y_a_b\ns1,0.9,0.1,1,0\ns2,0.8,0.9,1,1\ns3,0.5,0.3,0,0\ns4,0.1,0.7,0,1\n");
    assert_says(headct_run("evaluate %s --out %s", scratch_path("names.csv"), scratch_path("named")), 0, "a_b");
    shell("test $(ls '%s'/roc_*.svg | wc -l) = 2", scratch_path("named/figures"));
    shell("cp -r '%s' '%s'", scratch_path("named"), scratch_path("linked"));
    shell("cp '%s' '%s' && ln -s '%s' '%s'", scratch_path("named/figures/roc_a_b.svg"), scratch_path("secret.svg"),
          scratch_path("secret.svg"), scratch_path("linked/figures/other.svg"));
    assert_says(headct_run("report %s", scratch_path("linked")), 1, "other.svg: is a link that leads out of the run");
    ck_assert(!path_is_file(scratch_path("linked/report.html")));
    shell("rm '%s' && ln -s roc_a_b.svg '%s'", scratch_path("linked/figures/other.svg"),
          scratch_path("linked/figures/other.svg"));
    assert_says(headct_run("report %s", scratch_path("linked")), 0, "report.html"); /* within the run is fine */
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
    put("run/predictions.csv.json", "{\"weights_sha256\":\"0123<4\",\"recipe_sha256\":\"\"}");
    assert_says(headct_run("report %s", scratch_path("run")), 0, "run/report.html"); /* not evaluated yet */
    ck_assert_int_eq(hct_read_file(scratch_path("run/report.html"), &html, NULL, NULL), HCT_OK);
    ck_assert_ptr_nonnull(strstr(html, "not evaluated yet: headct evaluate --run"));
    free(html);
    assert_says(headct_run("evaluate --run %s --split all --out %s", scratch_path("run"), scratch_path("all")), 0,
                "\n6 scans;");
    assert_says(headct_run("evaluate --run %s", scratch_path("run")), 0, "\n5 scans;"); /* test alone */
    assert_says(headct_run("evaluate --run %s --by-patient", scratch_path("run")), 0, "resamples of patients");
    ck_assert(path_is_file(scratch_path("run/evaluate-test/metrics.json"))); /* the run's own stays */
    assert_says(headct_run("evaluate --run %s --compare %s", scratch_path("run"), scratch_path("run/p.csv")), 0,
                "the run's own metrics are as they were");
    ck_assert_msg(strstr(headct_said, "1.0000"), "%s", headct_said);
    assert_says(headct_run("report %s", scratch_path("run")), 0, "run/report.html");
    ck_assert_int_eq(hct_read_file(scratch_path("run/report.html"), &html, NULL, NULL), HCT_OK);
    const char *wanted[] = {
        "Loss over optimiser steps",   "0.917 (",       "undefined",     "ROC of A; bands",   "other AUC</th>",
        "name: &quot;&lt;b&gt;&quot;", "evaluate-test", "p_delong_holm", "<td>0123&lt;4</td>"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) ck_assert_msg(strstr(html, wanted[i]), "%s", wanted[i]);
    free(html);
    assert_says(headct_run("report %s %s --out %s --title 'Two runs'", scratch_path("run"), scratch_path("run"),
                           scratch_path("two.html")),
                0, "two.html");
    ck_assert_int_eq(hct_read_file(scratch_path("two.html"), &html, NULL, NULL), HCT_OK);
    ck_assert(strstr(html, "<h1>Two runs</h1>") && strstr(html, "Macro means"));
    free(html);
    assert_says(headct_run("report %s %s --out %s", scratch_path("run"), scratch_path("gone"),
                           scratch_path("two.html")),
                3, "gone: there is no such run folder");
    ck_assert_int_eq(hct_read_file(scratch_path("two.html"), &html, NULL, NULL), HCT_OK);
    ck_assert(strstr(html, "Left out:") && strstr(html, "0.917 ("));
    free(html);
    path_make_folders(scratch_path("few"), NULL);
    put("few/fewshot.csv", "task,method,k,draws,positives,negatives,auc,auc_low,auc_high,ap,ap_low,ap_high\n"
                           "A,knn,8,5,8,8,0.7,0.6,0.8,0.5,0.4,0.6\nA,knn,32,5,32,32,0.8,0.7,0.85,0.6,0.5,0.7\n"
                           "A,knn,all,1,90,90,0.9,0.85,0.95,0.7,0.6,0.8\nA,linear,8,1,8,8,0.72,,,0.5,,\n"
                           "B,linear,all,1,9,9,0.66,,,0.5,,\n");
    assert_says(headct_run("report %s", scratch_path("few")), 0, "report.html");
    ck_assert(path_is_file(scratch_path("few/figures/fewshot_A.svg")) &&
              path_is_file(scratch_path("few/figures/fewshot_B.svg")));
    ck_assert_int_eq(hct_read_file(scratch_path("few/report.html"), &html, NULL, NULL), HCT_OK);
    ck_assert(strstr(html, "Few-shot AUC of A") && strstr(html, "<td>0.8500</td>"));
    free(html);
    put("few/fewshot.csv", "task,method,k,auc\n");
    assert_says(headct_run("report %s", scratch_path("few")), 1, "few/fewshot.csv");
    path_make_folders(scratch_path("bare"), NULL);
    assert_says(headct_run("report %s", scratch_path("bare")), 1, "holds no metrics.jsonl");
    assert_says(headct_run("report %s", scratch_path("absent")), 1, "no such run folder");
    assert_says(headct_run("report"), 2, "RUN is missing");
    put("run/metrics.json", "{\"tasks\": 3}");
    assert_says(headct_run("report %s", scratch_path("run")), 1, "is not what headct evaluate writes");
}
END_TEST

CHECK_MAIN("evaluate", names_with_endings_and_pooled_splits, labels_in_the_same_file, labels_from_a_table,
           comparison_in_any_order, patients_are_resampled_whole, refusals, subgroups, chosen_on_validation,
           several_models, figures_are_the_runs_own, a_run_and_its_report)
