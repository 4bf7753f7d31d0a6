/* Which series are wanted: a plain struct of settings, read from a YAML file (recipes/filters/).
 *
 *   absent: pass              a tag that is absent or empty: pass (not held against the series), or refuse
 *   modality: CT              or any
 *   kinds: [axial]            of axial, localizer, secondary-capture, reformat, perfusion-map, dose-page
 *   derived: keep             ImageType DERIVED: keep (marked), or refuse
 *   orientation: any          any, or axial: the slices' normal within 45 degrees of the patient's long axis
 *   least_slices: 10
 *   thickness: [0.5, 5]       mm, the median of the slices'; [] any
 *   kvp: [70, 150]            [] any
 *   kernels: [REGEX, ...]     the first value of ConvolutionKernel is wholly one of these; [] any
 *   no_kernels: [REGEX, ...]  and none of these
 *   whitelist: FILE           a CSV of 'Study Description,KVP,Convolution Kernel' beside this file. Only its triples
 *                             are wanted, and kernels are not asked: description and kVp as in the header, the kernel
 *                             bare ("Hr40s") or, of several values, as Python shows a list ("['J37s', '1']")
 *   contrast: refuse          refuse: ContrastBolusAgent names one, or the texts do; keep: not asked
 *   head_words: [REGEX, ...]  one of them in body part or descriptions: it is a head; [] not asked
 *   other_words: [REGEX, ...] none of head_words, but one of these: it is something else; neither: as if absent
 *   contrast_words, no_words  in the series' own texts, or in the study's where the series' do not name the head
 *   least_coverage: 0         mm along the normal
 *   least_matrix: 128         pixels, the smaller side
 *   least_extent: 100         mm, the smaller side of the field of view
 *   hu: warn                  values that cannot be Hounsfield units: warn, refuse, or keep (not asked)
 *
 * Every key may be left out: it then is as in any-head-ct.yaml. Patterns are POSIX extended regular expressions,
 * without regard to case. Kernels are matched as they are; words in texts where all but letters, digits and + has
 * become blanks, from the start of a word to the end of one (contrast_words, no_words), or anywhere (head_words,
 * other_words). */
#ifndef DICOM_FILTERS_H
#define DICOM_FILTERS_H

#include <regex.h>
#include <stdbool.h>

#include "dicom/series.h"

typedef enum filter_action { FILTER_KEEP, FILTER_WARN, FILTER_REFUSE } filter_action;

typedef struct filter_patterns {
    regex_t *compiled;
    char **text; /* as in the file */
    size_t n;
} filter_patterns;

typedef struct filter_triple {
    char *study, *kernel;
    double kvp;
} filter_triple;

typedef struct series_filters {
    bool absent_refuses;
    char modality[17];          /* "": any */
    bool kinds[CLASS_DOSE + 1]; /* kept */
    bool derived_refused, axial_only;
    int64_t least_slices, least_matrix;
    double thickness[2], kvp[2]; /* low and high; low > high: any */
    double least_coverage, least_extent;
    filter_patterns kernels, no_kernels, head_words, other_words, contrast_words, no_words;
    filter_action contrast, hu; /* contrast: FILTER_KEEP or FILTER_REFUSE */
    filter_triple *whitelist;
    size_t n_whitelist;
    bool has_whitelist;
    char mark[64]; /* of filters_read: the name of one that is built in, else "file", and what tells its text apart */
} series_filters;

/* A file, or the name of one of recipes/filters, which are built in: "any-head-ct" (the default), "nyu", "none".
 * HCT_ENOTFOUND: no such file; HCT_EFORMAT: no YAML, an unknown key, a value that is none; the line or the key is
 * named. */
hct_status filters_read(const char *name, series_filters *ret, hct_err *err);
/* From memory; name goes into messages, and the whitelist lies in its folder. */
hct_status filters_parse(const char *name, const char *yaml, size_t n, series_filters *ret, hct_err *err);
/* f may be all zeros. */
void filters_free(series_filters *f);

/* "axial", "localizer", "secondary-capture", "reformat", "perfusion-map", "dose-page". */
const char *series_class_name(series_class c);

/* The pattern that matches, as in the file; NULL: none does. whole: all of the text. */
const char *filter_match(const filter_patterns *p, const char *text);
/* Text in lower case, blanks for all but letters, digits, + and what is no ASCII. */
void filter_normalise(const char *text, char *ret, size_t n);

#endif
