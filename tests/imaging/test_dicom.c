/* imaging/dicom.h: a real gantry-tilted series where the data is there and, through a stand-in for dcm2niix, the choice
 * among twins and the errors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imaging/dicom.h"
#include "imaging/scan.h"
#include "make_nifti.h"
#include "scratch.h"
#include "tap.h"

/* A program `dcm2niix` that copies the .nii files of a folder to the output folder (its 10th argument) and exits with
 * `status`, or, below 0, dies of signal -status. */
static void stand_in(const char *folder, int status) {
    char script[1024], path[600];
    snprintf(path, sizeof path, "%s/bin", scratch_folder());
    mkdir(path, 0700);
    setenv("PATH", path, 1);
    int n =
        snprintf(script, sizeof script, "#!/bin/sh\nPATH=/usr/bin:/bin\ncp %s/*.nii \"${10}\" 2>/dev/null\n%s%d%s\n",
                 folder, status < 0 ? "kill -" : "exit ", abs(status), status < 0 ? " $$" : "");
    chmod(scratch_file("bin/dcm2niix", script, (size_t)n), 0700);
}

static void add_volume(const char *folder, const char *name, int64_t slices) {
    char path[600];
    nifti_spec s = nifti_plain();
    s.dim[3] = slices;
    snprintf(path, sizeof path, "%s/%s.nii", folder, name);
    nifti_file(&s, path);
}

/* Slices of the volume that is chosen; 0 on an error that holds `says`, -1 on another. */
static int64_t chosen(const char *folder, const char *says) {
    volume v;
    hct_err err = {0};
    int64_t slices = dicom_read(folder, &v, &err) == HCT_OK ? v.dim[2] : says && strstr(err.msg, says) ? 0 : -1;
    if (slices < 0) tap_note("%s", err.msg);
    volume_free(&v);
    return slices;
}

static const char *fresh(const char *name) {
    static char relative[64];
    snprintf(relative, sizeof relative, "%s", name);
    mkdir(scratch_path(name), 0700);
    return relative;
}

/* A folder is DICOM where a file has the magic number; a DICOMDIR alone is only a table of contents. */
static void test_folder(void) {
    char bytes[200] = {0};
    memcpy(bytes + 128, "DICM", 4);
    fresh("folder");
    scratch_file("folder/notes.txt", "short", 5);
    scratch_file("folder/DICOMDIR", bytes, sizeof bytes);
    tap_ok(!dicom_folder(scratch_path("folder")), "a folder with a DICOMDIR and a text is no scan");
    scratch_file("folder/IM0001", bytes, sizeof bytes);
    tap_ok(dicom_folder(scratch_path("folder")), "a folder with an image is one");
}

static void test_choice(void) {
    const char *f = fresh("plain");
    add_volume(f, "1.2.3_4", 5);
    stand_in(scratch_path(f), 0);
    tap_ok(chosen(scratch_path(f), NULL) == 5, "one volume is taken");
    add_volume(f, "1.2.3_4_Tilt_1", 6);
    tap_ok(chosen(scratch_path(f), NULL) == 6, "its tilt-corrected twin is the same scan, and taken");
    add_volume(f, "1.2.3_4_Tilt_Eq_1", 7);
    tap_ok(chosen(scratch_path(f), NULL) == 7, "its twin of equal distances is taken");
    add_volume(f, "1.2.3_5", 8);
    tap_ok(chosen(scratch_path(f), "2 series") == 0, "two series are refused");
    f = fresh("none");
    stand_in(scratch_path(f), 0);
    tap_ok(chosen(scratch_path(f), "no series") == 0, "no volume is an error");
    stand_in(scratch_path(f), 2);
    tap_ok(chosen(scratch_path(f), "no DICOM image") == 0, "dcm2niix's exit status is explained");
    stand_in(scratch_path(f), 10);
    tap_ok(chosen(scratch_path(f), "slices are missing") == 0, "missing slices are an error");
    stand_in(scratch_path(f), 1);
    tap_ok(chosen(scratch_path(f), "none: dcm2niix failed with exit status 1: give") == 0,
           "any other exit status is told as it is");
    stand_in(scratch_path(f), -9);
    tap_ok(chosen(scratch_path(f), "none: dcm2niix was ended by signal 9 (Killed)") == 0, "and so is a signal");
}

/* The code that reading ends with, whose message must hold `says`; HCT_OK where it holds it not. */
static hct_status ends_with(const char *folder, const char *says) {
    volume v;
    hct_err err = {0};
    hct_status s = dicom_read(folder, &v, &err);
    volume_free(&v);
    if (s < 0 && strstr(err.msg, says)) return s;
    tap_note("%d: %s", s, err.msg);
    return HCT_OK;
}

static int on_a_disk_just_large_enough(void) {
    struct stat st;
    if (stat(scratch_path("cut/1.2.3_4.nii"), &st) < 0 ||
        scratch_mount(getenv("TMPDIR"), ((size_t)st.st_size / 4096 + 1) * 4096) < 0)
        return 77;
    return ends_with(scratch_path("cut"), "No space left on device: free some space") != HCT_EDEVICE;
}

/* dcm2niix ends with 0 on a full disk: a volume or its twin is cut, or the twin is missing and the disk has no room. */
static void test_faults_of_the_machine(void) {
    const char *f = fresh("cut");
    add_volume(f, "1.2.3_4", 40);
    stand_in(scratch_path(f), 0);
    static const int lengths[] = {0, 100, 352, 1000};
    for (int i = 0; i < 4; i++) {
        add_volume(f, "1.2.3_4_Tilt_Eq_1", 40);
        if (truncate(scratch_path("cut/1.2.3_4_Tilt_Eq_1.nii"), lengths[i]) < 0) return;
        tap_ok(ends_with(scratch_path(f), "free some space") == HCT_EDEVICE,
               "a twin cut after %d bytes is the disk's fault", lengths[i]);
    }
    unlink(scratch_path("cut/1.2.3_4_Tilt_Eq_1.nii"));
    tap_ok(chosen(scratch_path(f), NULL) == 40, "without it the plain one is read");
    int code = scratch_apart(on_a_disk_just_large_enough);
    if (code == 77) tap_skip("a disk that the volume just fills", "tmpfs may not be mounted here");
    else tap_ok(code == 0, "a disk that the volume just fills has no room for a twin");
    char *kept = strdup(getenv("TMPDIR"));
    setenv("TMPDIR", "/nonexistent", 1);
    tap_ok(ends_with(scratch_path(f), "set TMPDIR") == HCT_EDEVICE,
           "a temporary folder that is not there is no fault of the scan's");
    setenv("TMPDIR", kept, 1);
    free(kept);
    setenv("PATH", "/nonexistent", 1);
    tap_ok(ends_with(scratch_path(f), "apt-get install dcm2niix") == HCT_EDEVICE, "nor is a missing dcm2niix");
    tap_ok(ends_with(scratch_path("folder"), "apt-get") == HCT_EDEVICE, "whatever the folder holds");
}

/* The GE series by its DICOM headers: pixels of 0.48828 mm; slices 4.22 mm apart, then 7.38, along z, the gantry
 * tilted by 18.5 degrees, so cos(18.5 degrees) of that from plane to plane; rows of pixels follow each other along
 * (0, -0.948, 0.317), which a tilt that is left in turns away from. step: 0 where dcm2niix is free to choose. */
static void check_geometry(const char *folder, double step, const char *what) {
    volume v = {0};
    hct_err err = {0};
    double mm[3] = {0}, off = 0;
    int ok = dicom_read(folder, &v, &err) == HCT_OK;
    if (ok) volume_spacing(&v, mm);
    for (int a = 0; a < 3; a++) {
        double dot = 0;
        for (int i = 0; i < 3; i++) dot += v.affine[i][a] * v.affine[i][(a + 1) % 3];
        off = fmax(off, fabs(dot));
    }
    tap_ok(ok && fabs(mm[0] - 0.48828) < 1e-4 && fabs(mm[1] - 0.48828) < 1e-4 &&
               (step == 0 || fabs(mm[2] - step) < 1e-3) && off < 1e-4 &&
               fabs(fabs(v.affine[1][1]) / mm[1] - 0.9483237) < 1e-4,
           "%s: voxels of %.5f x %.5f x %.4f mm, axes %.1g from right angles, cosine of the tilt %.4f %s", what, mm[0],
           mm[1], mm[2], off, fabs(v.affine[1][1]) / mm[1], err.msg);
    volume_free(&v);
}

/* The slices of one distance, 7 mm: dcm2niix writes no "_Eq" twin, and of the plain volume's sform the rows are 10%
 * too long and the axes skewed. */
static void test_equal_slices(const char *series) {
    char from[4200], to[64];
    const char *f = fresh("equal");
    for (int i = 17; i <= 28; i++) {
        snprintf(from, sizeof from, "%s/%02d.dcm", series, i);
        snprintf(to, sizeof to, "%s/%02d.dcm", f, i);
        if (access(from, R_OK) < 0 || symlink(from, scratch_path(to)) < 0) {
            tap_skip("slices of one distance", "%s is absent", from);
            return;
        }
    }
    check_geometry(scratch_path(f), 7.38 * 0.9483237, "slices of one distance");
}

static void test_real(const char *search_path) {
    char folder[4096];
    const char *data = getenv("HEADCT_DATA");
    snprintf(folder, sizeof folder, "%s/dicom_ge_tilt", data ? data : DATA_DEFAULT);
    setenv("PATH", search_path, 1);
    if (!dicom_folder(folder)) {
        tap_skip("real DICOM series", "%s is absent; set HEADCT_DATA", folder);
        return;
    }
    if (system("command -v dcm2niix >/dev/null") != 0) {
        tap_skip("real DICOM series", "dcm2niix is not installed");
        return;
    }
    volume v;
    scan_info info;
    hct_err err = {0};
    int ok = scan_open(folder, 0, &v, &info, &err) == HCT_OK;
    tap_ok(ok, "a tilted series of unequal slices is prepared %s", err.msg);
    if (!ok) return;
    tap_ok(info.dicom && info.dim[0] == 512 && v.dim[0] == 224 && v.dtype == HCT_I16, "as a 224^3 int16 volume");
    tap_ok(fabs(info.spacing[0] - 0.48828) < 1e-4 && fabs(info.spacing[1] - 0.48828) < 1e-4,
           "its pixels as large as the DICOM files say: %g x %g mm", info.spacing[0], info.spacing[1]);
    int64_t n = volume_count(&v), air = 0, brain = 0, bone = 0;
    for (int64_t i = 0; i < n; i++) {
        air += v.i16[i] < -800;
        brain += v.i16[i] > 0 && v.i16[i] < 80;
        bone += v.i16[i] > 300;
    }
    tap_note("%lld ml of brain's density, %lld ml of bone's", (long long)brain / 1000, (long long)bone / 1000);
    tap_ok(air > n / 4 && brain > 800000 && brain < 3000000 && bone > 200000 && bone < 1500000,
           "its HU are those of a head of natural size");
    volume_free(&v);
    check_geometry(folder, 0, "slices of two distances");
    test_equal_slices(folder);
}

int main(void) {
    const char *path = getenv("PATH");
    char *kept = strdup(path ? path : "/usr/bin:/bin");
    char tmp[600];
    snprintf(tmp, sizeof tmp, "%s", scratch_path("tmp"));
    mkdir(tmp, 0700);
    setenv("TMPDIR", tmp, 1);
    test_folder();
    test_choice();
    test_faults_of_the_machine();
    test_real(kept);
    tap_ok(scratch_count(tmp) == 0, "the temporary folders are gone");
    free(kept);
    return tap_done();
}
