/* DeLong's variance and test, and the normal distribution that they need. */
#include "evaluation/delong.h"

#include <math.h>
#include <stdlib.h>

double normal_two_sided(double z) { return erfc(fabs(z) / sqrt(2)); }
double normal_below(double z) { return 0.5 * erfc(-z / sqrt(2)); }

/* Ratio of two polynomials of degree 7, coefficients from the constant on. */
static double ratio(const double *p, const double *q, double x) {
    double a = 0, b = 0;
    for (int i = 7; i >= 0; i--) a = a * x + p[i], b = b * x + q[i];
    return a / b;
}

double normal_quantile(double p) {
    static const double near_p[] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                                    1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                    3.3430575583588128105e+4, 2.5090809287301226727e+3},
                        near_q[] = {1,
                                    4.2313330701600911252e+1,
                                    6.8718700749205790830e+2,
                                    5.3941960214247511077e+3,
                                    2.1213794301586595867e+4,
                                    3.9307895800092710610e+4,
                                    2.8729085735721942674e+4,
                                    5.2264952788528545610e+3},
                        far_p[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                                   3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                                   2.27238449892691845833e-2, 7.74545014278341407640e-4},
                        far_q[] = {1,
                                   2.05319162663775882187e0,
                                   1.67638483018380384940e0,
                                   6.89767334985100004550e-1,
                                   1.48103976427480074590e-1,
                                   1.51986665636164571966e-2,
                                   5.47593808499534494600e-4,
                                   1.05075007164441684324e-9},
                        tail_p[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                                    2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                    2.71155556874348757815e-5, 2.01033439929228813265e-7},
                        tail_q[] = {1,
                                    5.99832206555887937690e-1,
                                    1.36929880922735805310e-1,
                                    1.48753612908506148525e-2,
                                    7.86869131145613259100e-4,
                                    1.84631831751005468180e-5,
                                    1.42151175831644588870e-7,
                                    2.04426310338993978564e-15};
    double q = p - 0.5;
    if (fabs(q) <= 0.425) return q * ratio(near_p, near_q, 0.180625 - q * q);
    double r = sqrt(-log(q < 0 ? p : 1 - p)), z;
    z = r <= 5 ? ratio(far_p, far_q, r - 1.6) : ratio(tail_p, tail_q, r - 5);
    return q < 0 ? -z : z;
}

hct_status delong_placements(const ranking *r, double *place, hct_err *err) {
    double positives, negatives, above_p = 0, above_n = 0;
    ranking_counts(r, NULL, &positives, &negatives);
    if (positives == 0 || negatives == 0)
        return hct_fail(err, HCT_EINVAL, "an AUC needs positive and negative cases; there are %g and %g", positives,
                        negatives);
    for (size_t i = 0; i < r->n;) { /* groups of equal scores, the highest first */
        size_t end = i;
        double p = 0, n = 0;
        for (; end < r->n && r->at[end].score == r->at[i].score; end++) *(r->at[end].positive ? &p : &n) += 1;
        for (; i < end; i++) {
            const struct ranked *c = &r->at[i];
            place[c->of_case] = c->positive ? (negatives - above_n - n / 2) / negatives : (above_p + p / 2) / positives;
        }
        above_p += p;
        above_n += n;
    }
    return HCT_OK;
}

/* Sums over one class: of a, of b, of a b (b may be a). */
typedef struct class_sums {
    double n, a, b, ab;
} class_sums;

/* Sample covariance over the class, divided by its size: its share of the AUCs' covariance. */
static double share(const class_sums *s) { return s->n < 2 ? NAN : (s->ab - s->a * s->b / s->n) / (s->n - 1) / s->n; }

static double covariance(const ranking *r, const double *a, const double *b) {
    class_sums s[2] = {{0}};
    for (size_t i = 0; i < r->n; i++) {
        class_sums *c = &s[r->at[i].positive];
        double x = a[r->at[i].of_case] - 0.5, y = b[r->at[i].of_case] - 0.5; /* centred: sums lose less */
        c->n++;
        c->a += x;
        c->b += y;
        c->ab += x * y;
    }
    return share(&s[0]) + share(&s[1]);
}

hct_status delong_interval(const ranking *r, double level, interval *ret, hct_err *err) {
    double auc = ranking_auc(r, NULL), *place = malloc((r->of + 1) * sizeof *place);
    *ret = (interval){NAN, NAN, NAN, NAN, 0};
    hct_status st = place ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scores", r->of);
    if (st == HCT_OK && !isnan(auc)) st = delong_placements(r, place, err);
    if (st == HCT_OK && !isnan(auc)) {
        double half = normal_quantile((1 + level) / 2) * sqrt(fmax(covariance(r, place, place), 0));
        if (!isnan(half)) *ret = (interval){auc, auc, fmax(auc - half, 0), fmin(auc + half, 1), 0};
    }
    free(place);
    return st;
}

static double hanley_mcneil(double t, double m, double n) {
    double more = (m + n) / 2 - 1;
    return t * (1 - t) * (1 + more * ((1 - t) / (2 - t) + t / (1 + t))) / (m * n);
}

hct_status newcombe_interval(const ranking *r, double level, interval *ret) {
    double m, n, auc = ranking_auc(r, NULL), z = normal_quantile((1 + level) / 2), end[2];
    *ret = (interval){NAN, NAN, NAN, NAN, 0};
    if (isnan(auc)) return HCT_OK;
    ranking_counts(r, NULL, &m, &n);
    for (int side = 0; side < 2; side++) { /* between the AUC found, which is near enough, and 0 or 1, which is not */
        double near = auc, far = side;
        for (int i = 0; i < 200; i++) {
            double t = (near + far) / 2;
            *(fabs(auc - t) <= z * sqrt(hanley_mcneil(t, m, n)) ? &near : &far) = t;
        }
        end[side] = near;
    }
    *ret = (interval){auc, auc, end[0], end[1], 0};
    return HCT_OK;
}

hct_status delong_test(const ranking *a, const ranking *b, delong_comparison *ret, hct_err *err) {
    double x = ranking_auc(a, NULL), y = ranking_auc(b, NULL), *place = malloc((2 * a->of + 1) * sizeof *place);
    *ret = (delong_comparison){NAN, NAN, NAN, NAN};
    hct_status st = place ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scores", a->of);
    double *other = place ? place + a->of : NULL;
    if (st == HCT_OK && !isnan(x) && !isnan(y)) {
        st = delong_placements(a, place, err);
        if (st == HCT_OK) st = delong_placements(b, other, err);
        if (st == HCT_OK) {
            double var = covariance(a, place, place) + covariance(a, other, other) - 2 * covariance(a, place, other);
            double error = sqrt(fmax(var, 0));
            int sure = error < 1e-12; /* alike, or told apart without any spread: then there is no test */
            ret->difference = x - y;
            ret->error = sure ? 0 : error;
            ret->z = !sure ? ret->difference / error : fabs(ret->difference) < 1e-12 ? 0 : NAN;
            ret->p = isnan(var) ? NAN : normal_two_sided(ret->z);
        }
    }
    free(place);
    return st;
}
