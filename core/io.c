#include "hct/io.h"
