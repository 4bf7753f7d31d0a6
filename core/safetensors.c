#include "hct/safetensors.h"
