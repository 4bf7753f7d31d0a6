/* Made by fit_erf.py: worst error 1.3e-09 of erf below 1, 4.8e-10 above. */
#ifndef FASTCPU_ERF_TABLE_H
#define FASTCPU_ERF_TABLE_H
enum { ERF_SMALL = 7 };
static const float erf_small[] = {1.128379166e+00f, -3.761262667e-01f, 1.128359472e-01f, -2.685421201e-02f, 5.189087423e-03f, -8.016864284e-04f, 7.875875052e-05f};
enum { ERF_LARGE = 9 };
static const float erf_large[] = {-7.806815273e+00f, -8.029021011e+00f, -2.123760833e+00f, -3.664757804e-02f, 1.096184922e-02f, -3.190305413e-03f, 8.803970815e-04f, -2.274995038e-04f, 4.195840015e-05f};
#endif
