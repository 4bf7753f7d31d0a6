/* Bytes as the tables and rules that people bring: labels, predictions, rules for labels. */
#include "dataset/labels.h"
#include "evaluation/predictions.h"
#include "fuzz.h"
#include "labelling/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    label_table labels;
    predictions said = {0};
    label_rules rules;
    row_groups groups;
    hct_err err;
    if (labels_read(path, &(label_form){.uncertain = UNCERTAIN_UNKNOWN}, &labels, &err) == HCT_OK) {
        labels_row(&labels, "s1");
        labels_free(&labels);
    }
    if (predictions_read(path, NULL, &said, &err) == HCT_OK) {
        if (predictions_patients(&said, &groups, &err) == HCT_OK) row_groups_free(&groups);
        predictions_drop_unlabelled(&said);
        predictions_free(&said);
    }
    if (rules_read(path, &rules, &err) == HCT_OK) rules_free(&rules);
    return 0;
}
