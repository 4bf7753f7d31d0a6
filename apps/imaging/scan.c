/* A scan from file to prepared volume. */
#include "imaging/scan.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "imaging/dicom.h"
#include "imaging/nifti.h"
#include "imaging/resample.h"

const char *scan_preprocessing(int exact) {
#define STEPS(type)                                                                                                    \
    "affine as MONAI 1.2.0 reads it, DICOM tilt corrected; RAS; cubic B-spline to 1 mm as MONAI 1.2.0; " type          \
    " HU; pad -1024 or crop to 224^3"
    return exact ? STEPS("float32") : STEPS("int16");
#undef STEPS
}

hct_status scan_read(const char *path, volume *ret, scan_info *info, hct_err *err) {
    scan_info local;
    struct stat st;
    if (!info) info = &local;
    memset(info, 0, sizeof *info);
    memset(ret, 0, sizeof *ret);
    if (stat(path, &st) < 0)
        return hct_fail(err, errno == ENOENT ? HCT_ENOTFOUND : HCT_EIO, "%s: %s", path, strerror(errno));
    info->dicom = S_ISDIR(st.st_mode);
    hct_status s = info->dicom ? dicom_read(path, ret, err) : nifti_read(path, ret, err);
    if (s < 0) return s;
    memcpy(info->dim, ret->dim, sizeof info->dim);
    volume_spacing(ret, info->spacing);
    return HCT_OK;
}

hct_status scan_prepare(volume *v, int exact, hct_err *err) {
    static const int64_t size[3] = {PREPARED_SIZE, PREPARED_SIZE, PREPARED_SIZE};
    hct_status s = volume_to_ras(v, err);
    if (s == HCT_OK) s = volume_resample_1mm_cut(v, size, exact ? HCT_F32 : HCT_I16, PREPARED_PAD_HU, err);
    return s;
}

int scan_is_prepared(const char *path, int exact) {
    return nifti_is_whole(path, (int64_t)PREPARED_SIZE * PREPARED_SIZE * PREPARED_SIZE, exact ? HCT_F32 : HCT_I16);
}

hct_status scan_open(const char *path, int exact, volume *ret, scan_info *info, hct_err *err) {
    hct_err why;
    hct_status s = scan_read(path, ret, info, err);
    if (s < 0) return s;
    s = scan_prepare(ret, exact, &why);
    if (s == HCT_OK) return s;
    volume_free(ret);
    return hct_fail(err, s, "%s: %.900s", path, why.msg);
}
