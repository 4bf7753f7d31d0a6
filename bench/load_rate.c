/* bench/load_rate WEIGHTS REPEATS: seconds of opening a weights file and filling a model's tensors from it, one line
 * each; driven by bench/predict. */
#include <stdio.h>
#include <stdlib.h>

#include "support/measure.h"
#include "models/build.h"
#include "support/device.h"

int main(int argc, char **argv) {
    hct_err err = {0, ""};
    hct_dev *dev = argc == 3 ? device_open("cpu", &err) : NULL;
    if (!dev) {
        fprintf(stderr, "%s\n", argc == 3 ? err.msg : "Usage: load_rate WEIGHTS REPEATS");
        return 2;
    }
    for (int i = atoi(argv[2]); i > 0; i--) {
        model_info info;
        double start = measure_now();
        params *p = model_open(dev, argv[1], &info, &err);
        if (!p) {
            fprintf(stderr, "load_rate: %s\n", err.msg);
            return 1;
        }
        printf("%.6f\n", measure_now() - start);
        params_free(p);
    }
    device_close(dev);
    return 0;
}
