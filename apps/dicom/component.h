/* The optional components of plugins/dicom: what decodes compressed frames, opened when the first is met, and what
 * writes files, opened when the first is written. */
#ifndef DICOM_COMPONENT_H
#define DICOM_COMPONENT_H

#include "hct_dicom.h"
#include "hct_dicom_writer.h"

/* Searches the folders that plugins are searched in. HCT_EDEVICE: there is none, or it cannot be used; the message
 * names the package to install, and is the same for every later call. Any thread. */
hct_status dicom_component(const hct_dicom_plugin **ret, hct_err *err);
hct_status dicom_writer_component(const hct_dicom_writer **ret, hct_err *err);

#endif
