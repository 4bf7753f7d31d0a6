/* NIfTI files for tests, byte by byte: any version, byte order, type and transform. */
#ifndef TESTS_IMAGING_MAKE_NIFTI_H
#define TESTS_IMAGING_MAKE_NIFTI_H

#include <stddef.h>
#include <stdint.h>

#include <nifti/nifti2_io.h>

typedef struct nifti_spec {
    int version, swapped; /* 1 or 2; written in the other byte order */
    int datatype;         /* DT_*; voxels are `value` below, cast to it */
    int64_t dim[8];
    double slope, inter, vox_offset; /* vox_offset 0: behind the header */
    int sform_code, qform_code;
    double srow[3][4], quatern[3], qoffset[3], pixdim[4];
    double (*value)(int64_t voxel); /* NULL: voxel % 100 */
} nifti_spec;

/* int16, 5 x 6 x 7, sform of 1 mm. */
nifti_spec nifti_plain(void);
/* The whole file; free it. */
unsigned char *nifti_bytes(const nifti_spec *s, size_t *ret_n);
/* The same as a file scratch_path(name), gzipped where name ends in .gz. Returns the path. */
const char *nifti_file(const nifti_spec *s, const char *name);

#endif
