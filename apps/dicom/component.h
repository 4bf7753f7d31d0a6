/* The component that decodes compressed frames (plugins/dicom), opened when the first is met. */
#ifndef DICOM_COMPONENT_H
#define DICOM_COMPONENT_H

#include "hct_dicom.h"

/* Searches the folders that plugins are searched in. HCT_EDEVICE: there is none, or it cannot be used; the message
 * names the package to install, and is the same for every later call. Any thread. */
hct_status dicom_component(const hct_dicom_plugin **ret, hct_err *err);

#endif
