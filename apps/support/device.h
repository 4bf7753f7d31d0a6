/* The device that a command runs on. */
#ifndef SUPPORT_DEVICE_H
#define SUPPORT_DEVICE_H

#include "hct/hct.h"

/* spec as hct_device_open takes it; "auto" and "" leave the choice to $HEADCT_DEVICE, else cpu. Where several ranks
 * run on one machine, they take its devices in turn. Closes with device_close, registry included. NULL and err on
 * failure. */
hct_dev *device_open(const char *spec, hct_err *err);
void device_close(hct_dev *dev);

#endif
