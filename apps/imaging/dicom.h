/* A folder of DICOM files to a volume, through the program dcm2niix (Debian package dcm2niix). */
#ifndef IMAGING_DICOM_H
#define IMAGING_DICOM_H

#include "imaging/volume.h"

/* Whether the folder itself (not those below it) holds a file with DICOM's "DICM" at byte 128. */
int dicom_folder(const char *path);

/* Converts the folder into a temporary one (removed afterwards) and reads the one series it holds. Scouts, derived
 * and 2D images are left out. dcm2niix may write twins of a series: "_Tilt" (gantry tilt removed) and "_Eq" (slices
 * at equal distances). They are the same scan; the "_Eq" one is read where there is one ("_Tilt_Eq" of a tilted
 * series), because a NIfTI file cannot hold unequal distances, else the "_Tilt" one: the sform of a tilted plain
 * volume is no true geometry (that of dcm2niix 1.0.20220720 stretches rows by 10% at 18.5 degrees). HCT_EINVAL:
 * several series, named in the message; HCT_EFORMAT: none, or one that dcm2niix cannot convert. HCT_EDEVICE: nothing
 * is wrong with the folder, but this machine cannot convert any now: dcm2niix is not installed, or the temporary
 * folder ($TMPDIR, else /tmp) takes no files or is full. */
hct_status dicom_read(const char *path, volume *ret, hct_err *err);

#endif
