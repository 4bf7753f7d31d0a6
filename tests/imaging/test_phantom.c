/* imaging/phantom.h: every label is drawn, nothing else depends on labels, and the same key gives the same scan. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "imaging/phantom.h"

static volume render(const phantom *p) {
    volume v;
    hct_err err = {0};
    ck_assert_msg(phantom_render(p, &v, &err) == HCT_OK, "%s", err.msg);
    return v;
}

/* As phantom_usual, but for what a test names. */
static void draw(phantom *ret, uint64_t seed, phantom_size size, double prevalence, uint64_t patient, uint64_t scan) {
    phantom_set set = phantom_usual;
    set.seed = seed;
    set.size = size;
    set.prevalence = prevalence;
    phantom_draw(ret, &set, patient, scan);
}

START_TEST(same_key_same_scan) {
    phantom a, b, c;
    draw(&a, 5, PHANTOM_TINY, 0.5, 17, 1);
    draw(&c, 5, PHANTOM_TINY, 0.5, 18, 1);
    draw(&b, 5, PHANTOM_TINY, 0.5, 17, 1);
    volume v = render(&a), w = render(&b), x = render(&c);
    ck_assert_mem_eq(v.dim, w.dim, sizeof v.dim);
    ck_assert_mem_eq(v.data, w.data, (size_t)volume_count(&v) * 2);
    ck_assert(memcmp(v.dim, x.dim, sizeof v.dim) != 0 || memcmp(v.data, x.data, (size_t)volume_count(&v) * 2) != 0);
    volume_free(&v);
    volume_free(&w);
    volume_free(&x);
}
END_TEST

/* Pose, spacing, noise and all other things of the scan are the same numbers whatever the findings. */
START_TEST(the_scan_does_not_know_the_findings) {
    for (uint64_t patient = 0; patient < 200; patient++) {
        phantom none, all;
        draw(&none, 1, PHANTOM_SMALL, 0, patient, patient % 3);
        draw(&all, 1, PHANTOM_SMALL, 1, patient, patient % 3);
        ck_assert_mem_eq(none.affine, all.affine, sizeof none.affine);
        ck_assert_mem_eq(none.dim, all.dim, sizeof none.dim);
        ck_assert_mem_eq(none.rotation, all.rotation, sizeof none.rotation);
        ck_assert_mem_eq(none.shift, all.shift, sizeof none.shift);
        ck_assert_mem_eq(none.spacing, all.spacing, sizeof none.spacing);
        ck_assert_float_eq(none.noise, all.noise);
        ck_assert_float_eq(none.offset, all.offset);
        ck_assert_uint_eq(none.noise_key, all.noise_key);
        ck_assert_float_eq(none.bone_mm, all.bone_mm);
        ck_assert_mem_eq(none.inner, all.inner, sizeof none.inner);
        ck_assert_float_eq(none.gain, all.gain);
        ck_assert_mem_eq(none.shade, all.shade, sizeof none.shade);
        ck_assert_float_eq(none.pale, all.pale);
        ck_assert_int_eq(none.has_scar, all.has_scar);
        ck_assert_mem_eq(&none.scar, &all.scar, sizeof none.scar);
        ck_assert_mem_eq(&none.lump, &all.lump, sizeof none.lump);
        ck_assert_mem_eq(none.calcified, all.calcified, sizeof none.calcified);
        ck_assert_float_eq(none.midline_mm, 0);
        for (int k = 0; k < READINGS; k++) ck_assert_int_eq(none.reads[k], 0);
        for (int f = 0; f < FINDINGS; f++) ck_assert_int_eq(none.present[f], 0);
    }
}
END_TEST

/* The range of noise is the set's, and moves nothing else: neither a voxel's place nor its HU without noise. */
START_TEST(noise_is_drawn_from_its_range) {
    for (uint64_t patient = 0; patient < 20; patient++) {
        phantom usual, loud;
        draw(&usual, 4, PHANTOM_TINY, 0.3, patient, 0);
        phantom_set set = phantom_usual;
        set.seed = 4, set.size = PHANTOM_TINY, set.prevalence = 0.3, set.noise_min = 12, set.noise_max = 17;
        phantom_draw(&loud, &set, patient, 0);
        ck_assert_float_eq_tol(loud.noise, usual.noise + 10, 1e-5f);
        loud.noise = usual.noise;
        ck_assert_mem_eq(&loud, &usual, sizeof loud);
    }
    phantom fixed;
    phantom_set nine = phantom_usual;
    nine.seed = 4, nine.size = PHANTOM_TINY, nine.noise_min = nine.noise_max = 9;
    phantom_draw(&fixed, &nine, 0, 0);
    ck_assert_float_eq(fixed.noise, 9);
    phantom still = fixed;
    still.noise = 0;
    volume v = render(&fixed), w = render(&still);
    double sum = 0, squares = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < volume_count(&v); i++)
        if (w.i16[i] > -900) { /* in air the lowest value, -1024, cuts noise off */
            double d = (double)v.i16[i] - w.i16[i];
            sum += d, squares += d * d, n++;
        }
    ck_assert_int_gt(n, 10000);
    ck_assert_double_eq_tol(sum / (double)n, 0, 0.3);
    ck_assert_double_eq_tol(sqrt(squares / (double)n), 9, 0.2);
    volume_free(&v);
    volume_free(&w);
}
END_TEST

START_TEST(labels_follow_their_rules) {
    int count[FINDINGS] = {0}, scans = 0;
    for (uint64_t patient = 0; patient < 400; patient++)
        for (uint64_t scan = 0; scan < 2; scan++, scans++) {
            phantom p;
            draw(&p, 3, PHANTOM_SMALL, 0.3, patient, scan);
            ck_assert_int_eq(p.present[ICH],
                             p.present[IPH] || p.present[IVH] || p.present[SDH] || p.present[EDH] || p.present[SAH]);
            for (int f = 0; f < FINDINGS; f++) count[f] += p.present[f];
        }
    for (int f = 0; f < FINDINGS; f++) { /* 0.3 * 0.85, and 1 - (1 - 0.255)^5 for ICH; 4 standard errors */
        double rate = count[f] / (double)scans, want = f == ICH ? 0.770 : 0.255;
        ck_assert_msg(fabs(rate - want) < 0.08, "%s: %g, expected about %g", finding_names[f], rate, want);
    }
}
END_TEST

/* Draws a phantom with and without one finding: voxels inside the head must change, by enough to be seen, and for a
 * bleed they must become brighter. */
START_TEST(every_label_is_drawn) {
    for (int f = 0; f < FINDINGS; f++) {
        if (f == ICH) continue;
        int drawn = 0, tried = 0;
        for (uint64_t patient = 0; tried < 6 && patient < 400; patient++) {
            phantom with, without;
            draw(&with, 11, PHANTOM_TINY, 0.12, patient, 0);
            int others = 0;
            for (int g = 0; g < FINDINGS; g++) others += g != ICH && g != f && with.present[g];
            if (!with.present[f] || others) continue;
            draw(&without, 11, PHANTOM_TINY, 0, patient, 0);
            volume v = render(&with), w = render(&without);
            double change_ml = 0, brighter = 0, voxel_ml = with.spacing[0] * with.spacing[1] * with.spacing[2] / 1000;
            for (int64_t i = 0; i < volume_count(&v); i++) {
                int d = v.i16[i] - w.i16[i];
                change_ml += abs(d) > 6 ? voxel_ml : 0;
                brighter += d;
            }
            tried++;
            int bleed = f == IPH || f == IVH || f == SDH || f == EDH || f == SAH;
            drawn += change_ml > 1 && (!bleed || brighter > 0);
            ck_assert_msg(change_ml > 0.5, "%s of patient %d changes only %g ml", finding_names[f], (int)patient,
                          change_ml);
            volume_free(&v);
            volume_free(&w);
        }
        ck_assert_msg(tried >= 3 && drawn == tried, "%s: drawn in %d of %d", finding_names[f], drawn, tried);
    }
}
END_TEST

/* Air outside, bone round the brain, brain and water where they belong. */
START_TEST(a_healthy_head_is_plausible) {
    for (uint64_t patient = 0; patient < 20; patient++) {
        phantom p;
        draw(&p, 2, PHANTOM_TINY, 0, patient, 0);
        volume v = render(&p);
        int64_t n = volume_count(&v), air = 0, bone = 0, soft = 0, odd = 0;
        for (int64_t i = 0; i < n; i++) {
            air += v.i16[i] < -900;
            bone += v.i16[i] > 300;
            soft += v.i16[i] > -20 && v.i16[i] < 70;
            odd += v.i16[i] < -1024 || v.i16[i] > 2000;
        }
        double ml = p.spacing[0] * p.spacing[1] * p.spacing[2] / 1000;
        ck_assert_int_eq(odd, 0);
        ck_assert_msg((double)air / (double)n > 0.4, "air %g", (double)air / (double)n);
        ck_assert_msg((double)soft * ml > 1000 && (double)soft * ml < 3500, "soft tissue of %g ml", (double)soft * ml);
        ck_assert_msg((double)bone * ml > 150 && (double)bone * ml < 1200, "bone of %g ml", (double)bone * ml);
        ck_assert_int_lt(v.i16[0], -900);
        volume_free(&v);
    }
}
END_TEST

/* Side, shift and mass effect follow from where findings lie and how large they are. */
START_TEST(readings_follow_from_findings) {
    int count[READINGS] = {0}, scans = 0;
    for (uint64_t patient = 0; patient < 600; patient++, scans++) {
        phantom p;
        draw(&p, 8, PHANTOM_SMALL, 0.2, patient, 0);
        const int *has = p.present, *reads = p.reads;
        ck_assert_int_eq(reads[BLEED_LEFT] || reads[BLEED_RIGHT], has[ICH]);
        if (has[SDH]) ck_assert(reads[p.sdh.dir[0] < 0 ? BLEED_LEFT : BLEED_RIGHT]);
        if (has[IVH] && !p.ivh_side) ck_assert(reads[BLEED_LEFT] && reads[BLEED_RIGHT]);
        ck_assert_int_eq(reads[MIDLINE_SHIFT], fabsf(p.midline_mm) >= 4);
        ck_assert(!reads[MIDLINE_SHIFT] || reads[MASS_EFFECT]);
        int mass = has[SDH] || has[EDH] || has[IPH] || has[TUMOR] || has[EDEMA];
        if (!mass) ck_assert(p.midline_mm == 0 && !reads[MASS_EFFECT]);
        else if (reads[MIDLINE_SHIFT] && !has[SDH] && !has[EDH] && !has[TUMOR] && !has[EDEMA])
            ck_assert(p.midline_mm * p.iph.centre[0] < 0); /* away from it */
        for (int k = 0; k < READINGS; k++) count[k] += reads[k];
    }
    for (int k = 0; k < READINGS; k++)
        ck_assert_msg(count[k] > scans / 20 && count[k] < scans * 2 / 3, "%s in %d of %d", reading_names[k], count[k],
                      scans);
}
END_TEST

/* The middle of the third ventricle moves by what the label says, and the skull does not. */
START_TEST(a_shift_is_drawn) {
    phantom p;
    draw(&p, 2, PHANTOM_TINY, 0, 3, 0);
    p.midline_mm = 0;
    float water = p.csf, at[3] = {0, -2, 0}, moved[3] = {6, -2, 0};
    p.gain = 1, p.cup = p.dark = p.streak[0] = p.shade[0] = p.shade[1] = p.shade[2] = 0;
    p.calcified[0] = 0;
    ck_assert_float_eq_tol(phantom_hu(&p, at), water, 1e-4f);
    ck_assert_float_gt(phantom_hu(&p, moved), water + 10);
    p.midline_mm = 6;
    ck_assert_float_gt(phantom_hu(&p, at), water + 10);
    ck_assert_float_eq_tol(phantom_hu(&p, moved), water, 1e-4f);
    float skull[3] = {p.inner[0] + p.bone_mm / 2, 0, 0}, before = phantom_hu(&p, skull);
    p.midline_mm = 0;
    ck_assert_float_eq(phantom_hu(&p, skull), before);
}
END_TEST

/* --heads 0: one size, one thickness of bone, no shading; --plain: heads as they were. */
START_TEST(heads_differ_as_far_as_is_said) {
    float low = 1e9f, high = 0;
    for (uint64_t patient = 0; patient < 50; patient++) {
        phantom_set set = phantom_usual;
        phantom one, plain;
        set.heads = 0;
        phantom_draw(&one, &set, patient, 0);
        ck_assert_float_eq_tol(one.inner[1], 82, 1e-4f);
        ck_assert_float_eq_tol(one.bone_mm, 7, 1e-4f);
        ck_assert_float_eq(one.gain, 1);
        ck_assert_float_eq(one.cup, 0);
        set.heads = 1;
        phantom_draw(&one, &set, patient, 0);
        low = fminf(low, one.inner[1]), high = fmaxf(high, one.inner[1]);
        set.plain = 1;
        phantom_draw(&plain, &set, patient, 0);
        ck_assert(plain.inner[1] > 82 * 0.88f && plain.inner[1] < 82 * 1.13f && plain.gap_mm < 7);
        ck_assert(!plain.has_scar && !plain.has_scalp && plain.midline_mm == 0 && plain.rest_hu == -1000);
    }
    ck_assert(low < 76 && high > 88);
}
END_TEST

START_TEST(scans_of_a_patient_stay_in_range) {
    int seen[4] = {0};
    for (uint64_t patient = 0; patient < 100; patient++) {
        int64_t k = phantom_scans(9, patient, 1, 3);
        ck_assert(k >= 1 && k <= 3);
        seen[k]++;
    }
    ck_assert(seen[1] > 10 && seen[2] > 10 && seen[3] > 10);
}
END_TEST

/* An easy set: only its findings, larger and brighter, all else the same; masks are where the blood is. */
START_TEST(easy_sets_and_masks) {
    phantom_set usual = phantom_usual, easy = phantom_usual;
    usual.size = easy.size = PHANTOM_TINY;
    usual.prevalence = easy.prevalence = 0.6;
    easy.larger = 0.3;
    easy.brighter_hu = 20;
    easy.only = 1u << IPH | 1u << SDH;
    hct_err err = {0};
    int masks = 0;
    for (uint64_t patient = 0; patient < 6; patient++) {
        phantom a, b, without;
        phantom_draw(&a, &usual, patient, 0);
        phantom_draw(&b, &easy, patient, 0);
        ck_assert_mem_eq(a.affine, b.affine, sizeof a.affine);
        ck_assert_float_eq(a.noise, b.noise);
        ck_assert_float_eq_tol(b.blood[SDH], a.blood[SDH] + 20, 1e-4f);
        ck_assert_float_eq_tol(b.iph.axis[1], a.iph.axis[1] * 1.3f, 1e-4f);
        ck_assert_float_eq_tol(b.sdh.depth, a.sdh.depth * 1.3f, 1e-4f);
        for (int f = 0; f < FINDINGS; f++)
            ck_assert_int_eq(b.present[f],
                             f == IPH || f == SDH ? a.present[f] : f == ICH && (b.present[IPH] || b.present[SDH]));
        static const finding bleeds[] = {IPH, SDH};
        for (int k = 0; k < 2; k++) {
            volume mask, inside, with, none;
            b.noise = 0;
            without = b;
            without.present[bleeds[k]] = 0;
            ck_assert_int_eq(phantom_mask(&b, bleeds[k], &mask, &err), HCT_OK);
            ck_assert_int_eq(phantom_inside(&b, &inside, &err), HCT_OK);
            with = render(&b);
            none = render(&without);
            int64_t in = 0, bright = 0, outside = 0;
            for (int64_t i = 0; i < volume_count(&mask); i++) {
                in += mask.i16[i];
                bright += mask.i16[i] && with.i16[i] > none.i16[i] + 20;
                outside += mask.i16[i] && !inside.i16[i];
            }
            ck_assert_mem_eq(mask.affine, b.affine, sizeof mask.affine);
            ck_assert_int_eq(outside, 0);
            ck_assert_int_eq(in > 0, b.present[bleeds[k]]);
            if (in) ck_assert_msg((double)bright > 0.8 * (double)in, "%d of %d", (int)bright, (int)in);
            masks += in > 0;
            volume_free(&mask);
            volume_free(&inside);
            volume_free(&with);
            volume_free(&none);
        }
    }
    ck_assert_int_gt(masks, 2);
    volume v;
    phantom p;
    phantom_draw(&p, &usual, 0, 0);
    ck_assert_int_eq(phantom_mask(&p, TUMOR, &v, &err), HCT_EINVAL);
}
END_TEST

CHECK_MAIN("phantom", same_key_same_scan, the_scan_does_not_know_the_findings, noise_is_drawn_from_its_range,
           labels_follow_their_rules, every_label_is_drawn, a_healthy_head_is_plausible, readings_follow_from_findings,
           a_shift_is_drawn, heads_differ_as_far_as_is_said, scans_of_a_patient_stay_in_range, easy_sets_and_masks)
