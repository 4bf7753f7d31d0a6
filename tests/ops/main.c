/* test-ops: every op of the registry, every kernel of the opened device, every dtype and case (see conformance.h).
 *
 *   test-ops                                   all of it
 *   test-ops --plugin ./hct_kernel_mine.so     the plugin's ops and kernels too
 *   test-ops --plugin ./hct_kernel_mine.so --cases mine.cases      and the cases of that file
 *   test-ops --op softmax --dtype BF16 --case 5x7 --layout strided --kernel ref:softmax:bf16
 */
#include "conformance.h"

#include <argp.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

typedef struct options {
    const char *device, *plugins[16], *cases, *op, *name, *dtype, *layout, *kernel;
    size_t n_plugins;
    bool kernels, gradients, list, bench;
} options;

static const struct argp_option known[] = {
    {"device", 'd', "SPEC", 0, "device to test (default cpu)", 0},
    {"plugin", 'p', "FILE", 0, "load a plugin first; may be given again", 0},
    {"cases", 'f', "FILE", 0, "and the cases of a text file (docs/writing-a-plugin.md)", 0},
    {"op", 'o', "NAME", 0, "only this op", 0},
    {"case", 'c', "NAME", 0, "only cases of this name", 0},
    {"dtype", 't', "NAME", 0, "only this dtype (F32, BF16, ...)", 0},
    {"layout", 'l', "NAME", 0, "only this layout (plain, transposed, sliced, strided, broadcast, mixed)", 0},
    {"kernel", 'k', "NAME", 0, "only this kernel; NAME* all whose name begins so", 0},
    {"grad", 'g', NULL, 0, "only what goes through the tape: values, programs, gradients", 0},
    {"no-grad", 'n', NULL, 0, "only kernels", 0},
    {"list", 'L', NULL, 0, "print ops, cases and kernels", 0},
    {"bench", 'b', NULL, 0, "time kernels: op, kernel, dtype, case, microseconds, GFLOP/s, GB/s", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    options *o = state->input;
    switch (key) {
    case 'd': o->device = arg; break;
    case 'p':
        if (o->n_plugins == 16) argp_error(state, "at most 16 plugins");
        o->plugins[o->n_plugins++] = arg;
        break;
    case 'f': o->cases = arg; break;
    case 'o': o->op = arg; break;
    case 'c': o->name = arg; break;
    case 't': o->dtype = arg; break;
    case 'l': o->layout = arg; break;
    case 'k': o->kernel = arg; break;
    case 'g': o->kernels = false; break;
    case 'n': o->gradients = false; break;
    case 'L': o->list = true; break;
    case 'b': o->bench = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static bool wanted(const char *filter, const char *name) { return !filter || !strcmp(filter, name); }
static bool wanted_kernel(const char *filter, const char *name) {
    size_t n = filter ? strcspn(filter, "*") : 0;
    return wanted(filter, name) || (filter[n] == '*' && !strncmp(filter, name, n));
}

/* ---- cases ---- */

static const op_case *const tables[] = {cases_elementwise, cases_products, cases_norm, cases_softmax, cases_shape,
                                        cases_tokens,      cases_optim,    cases_dino, cases_views,   cases_volume};
static const size_t n_tables = sizeof tables / sizeof *tables;

/* An op of a plugin, without a case of its own: one or two real inputs, no attributes. */
static const op_case one_input = {.name = "3x7", .in = {REAL(3, 7)}, .flags = GRAD},
                     two_inputs = {.name = "3x7", .in = {REAL(3, 7), REAL(3, 7)}, .flags = GRAD};

static bool is_core(const hct_op *op) {
    Dl_info theirs, ours;
    return dladdr(op, &theirs) && dladdr((void *)(uintptr_t)hct_open, &ours) && theirs.dli_fbase == ours.dli_fbase;
}

static bool default_case(const device *ref, const hct_op *op, op_case *ret) {
    const op_case *tries[] = {&one_input, &two_inputs};
    for (int i = 0; i < 2; i++) {
        call k;
        hct_err why;
        *ret = *tries[i];
        ret->op = op->name;
        if (!HCT_HAS(op, grad)) ret->flags = 0;
        bool fits = call_make(&k, ref, ret, HCT_F64, false, &why);
        call_free(&k);
        if (fits) return true;
    }
    return false;
}

/* ---- the walk ---- */

typedef struct tester {
    options o;
    device dev, ref;
    hct_dev *tape_dev, *other; /* the CPU; the device under test, where that is another one */
    op_case *more;             /* of a file */
    bool reference;            /* the device is the CPU, whose kernels take F64 too; the tape is checked there */
    size_t runs, skipped;
} tester;

static void repeat(const tester *t, const op_case *c, const char *more, const char *kernel, const char *dtype,
                   const char *layout) {
    char plugins[1024] = "";
    for (size_t i = 0; i < t->o.n_plugins; i++) {
        size_t n = strlen(plugins);
        snprintf(plugins + n, sizeof plugins - n, " --plugin %s", t->o.plugins[i]);
    }
    tap_note("repeat: %s --device %s%s%s%s --op %s --case '%s'%s%s%s%s%s%s%s", program_invocation_name, t->o.device,
             plugins, t->o.cases ? " --cases " : "", t->o.cases ? t->o.cases : "", c->op, c->name, more,
             kernel ? " --kernel " : "", kernel ? kernel : "", dtype ? " --dtype " : "", dtype ? dtype : "",
             layout ? " --layout " : "", layout ? layout : "");
}

static bool takes(const hct_kernel *kernel, const call *k) {
    int32_t dtype = k->n_in ? k->in[0].dtype : k->out[0].dtype;
    return !strcmp(kernel->op, k->c->op) && (!kernel->dtypes || kernel->dtypes >> dtype & 1);
}

static bool accepts_plain(const tester *t, const hct_kernel *kernel, const call *k) {
    kernel_memory m;
    hct_err why;
    bool yes = memory_make(&m, &t->dev, kernel, k, PLAIN, 0, 0, -1, -1, &why) == HCT_OK;
    memory_free(&m, &t->dev, kernel);
    return yes;
}

/* All layouts of one kernel on one case; one TAP line. */
static verdict run_kernel(tester *t, const hct_kernel *kernel, const op_case *c, int32_t dtype, const call *plain,
                          const call *rows) {
    size_t ran = 0, refused = 0, failed = 0;
    hct_err why = {0, ""};
    for (int l = 0; l < LAYOUTS; l++) {
        if (!wanted(t->o.layout, layout_names[l]) || (l != PLAIN && c->flags & (BIG | CONTIGUOUS)) ||
            (l == BROADCAST && !rows->c))
            continue;
        verdict v = kernel_check(&t->dev, kernel, l == BROADCAST ? rows : plain, (layout)l, &why);
        ran++;
        refused += v == SKIPPED;
        /* The reference takes every layout of what it takes at all. */
        if (v == PASSED || (v == SKIPPED && (kernel->priority > 0 || !accepts_plain(t, kernel, plain)))) continue;
        failed++;
        tap_note("%s, %s: %s", c->name, layout_names[l], v == SKIPPED ? "the reference kernel refuses" : "");
        tap_note("  %s", why.msg);
        repeat(t, c, " --no-grad", kernel->name, hct_dtype_name(dtype), layout_names[l]);
    }
    if (ran && refused == ran && !failed) {
        t->skipped++;
        return SKIPPED;
    }
    t->runs += ran - refused;
    if (ran) tap_ok(!failed, "%s %s %s: %s", c->op, hct_dtype_name(dtype), c->name, kernel->name);
    return failed ? FAILED : ran ? PASSED : SKIPPED;
}

static void kernels_of(tester *t, const op_case *c, int32_t dtype) {
    call plain = {0}, rows = {0};
    hct_err why = {0, ""};
    device untrue = {.ctx = t->ref.ctx}; /* timing needs no truth */
    if (!call_make(&plain, t->o.bench ? &untrue : &t->ref, c, dtype, false, &why)) {
        if (why.code == HCT_EDTYPE && !is_core(hct_op_find(t->ref.ctx, c->op))) t->skipped++;
        else tap_ok(0, "%s %s %s: the case cannot be made: %s", c->op, hct_dtype_name(dtype), c->name, why.msg);
        call_free(&plain);
        return;
    }
    if (!t->o.bench && call_mistrusted(&plain))
        tap_ok(0, "%s %s %s: most of the true result is zero, the case proves little", c->op, hct_dtype_name(dtype),
               c->name);
    if (!t->o.bench && !(c->flags & (BIG | NO_BROADCAST | CONTIGUOUS | BENCH)) &&
        !call_make(&rows, &t->ref, c, dtype, true, &why)) {
        tap_ok(0, "%s %s %s: the broadcast case cannot be made: %s", c->op, hct_dtype_name(dtype), c->name, why.msg);
    }
    size_t found = 0;
    for (size_t i = 0; i < hct_kernel_count(t->dev.ctx); i++) {
        const hct_kernel *kernel = hct_kernel_at(t->dev.ctx, i);
        if (strcmp(kernel->backend, t->dev.backend->name) != 0 || !takes(kernel, &plain)) continue;
        if (!wanted_kernel(t->o.kernel, kernel->name)) continue;
        if (t->o.bench) kernel_bench(&t->dev, kernel, &plain, &why);
        else found += run_kernel(t, kernel, c, dtype, &plain, &rows) != SKIPPED;
    }
    bool wide = plain.n_in && (plain.in[0].dtype == HCT_F64 || dtype == HCT_F64) && !(c->flags & ANY_DTYPE);
    /* a plugin chooses its dtypes */
    if ((t->reference || !wide) && is_core(plain.op) && !(c->flags & OPTIONAL) && !t->o.bench && !found && !t->o.kernel)
        tap_ok(0, "%s %s %s: no kernel on %s computes it", c->op, hct_dtype_name(dtype), c->name, t->dev.backend->name);
    call_free(&plain);
    call_free(&rows);
}

static bool has_kernel(const tester *t, const hct_op *op) {
    for (size_t i = 0; i < hct_kernel_count(t->dev.ctx); i++) {
        const hct_kernel *k = hct_kernel_at(t->dev.ctx, i);
        if (!strcmp(k->op, op->name) && !strcmp(k->backend, t->dev.backend->name)) return true;
    }
    return false;
}

/* Through the tape: in F64 on the reference device; others have no F64 to difference in, and are held to its gradients
 * in F32. */
static void tape_of(tester *t, const hct_op *op, const op_case *c) {
    if (c->flags & OPTIONAL)
        return; /* the reference has no kernel to compare with: kernels are held to the truth alone */
    call k;
    if (t->other && !is_core(op) && !has_kernel(t, op)) { /* an op of another backend */
        t->skipped++;
        return;
    }
    hct_err why = {0, ""};
    bool made = call_make(&k, &t->ref, c, t->other ? HCT_F32 : HCT_F64, false, &why),
         gradients = c->flags & GRAD && HCT_HAS(op, grad);
    bool gaps = made && !(c->flags & CONTIGUOUS) && !c->into[0];
    if (!made && why.code == HCT_EDTYPE && !is_core(op)) { /* a plugin chooses its dtypes */
        call_free(&k);
        return;
    }
    verdict plain = FAILED, strided = SKIPPED;
    for (int with_gaps = 0; made && with_gaps <= (gaps && plain == PASSED); with_gaps++)
        *(with_gaps ? &strided : &plain) = t->other
                                               ? tape_compare(t->other, t->tape_dev, &k, !with_gaps, gradients, &why)
                                               : tape_check(t->tape_dev, &k, !with_gaps, gradients, &why);
    verdict composite = t->other                               ? SKIPPED
                        : plain == PASSED && strided != FAILED ? composite_check(t->tape_dev, &k, &why)
                                                               : SKIPPED;
    bool ok = plain == PASSED && strided != FAILED && composite != FAILED;
    tap_ok(ok, "%s %s: %s%s%s", op->name, c->name, gradients ? "gradient" : "value",
           strided == SKIPPED ? "" : ", also with gaps", composite == SKIPPED ? "" : ", composite");
    if (!ok) {
        tap_note("%s%s", plain != PASSED ? "" : strided == FAILED ? "with gaps: " : "composite: ", why.msg);
        repeat(t, c, " --grad", NULL, NULL, NULL);
    }
    call_free(&k);
}

static void case_of(tester *t, const hct_op *op, const op_case *c, size_t *ret_gradients) {
    if (!wanted(t->o.name, c->name) || (c->flags & BENCH && !t->o.bench && !t->o.list)) return;
    if (t->o.list) {
        printf("  case %s\n", c->name);
        return;
    }
    bool view = op->flags & HCT_OP_VIEW, fixed = !case_inputs(c);
    for (int32_t d = 0; d < HCT_DTYPES && t->o.kernels && !view; d++) {
        if (!wanted(t->o.dtype, hct_dtype_name(d)) || (!real_dtype(d) && !(c->flags & ANY_DTYPE)) ||
            (fixed && d != HCT_F32))
            continue;
        kernels_of(t, c, d);
    }
    if (!t->o.gradients || t->o.bench || c->flags & BIG) return;
    tape_of(t, op, c);
    *ret_gradients += (c->flags & GRAD) != 0;
}

static void op_of(tester *t, const hct_op *op) {
    size_t cases = 0, gradients = 0;
    if (t->o.list)
        printf("%s%s\n", op->name, HCT_HAS(op, grad) ? " (gradient)" : op->flags & HCT_OP_VIEW ? " (view)" : "");
    for (size_t f = 0; f < n_tables + 1; f++)
        for (const op_case *c = f < n_tables ? tables[f] : t->more; c && c->op; c++) {
            if (strcmp(c->op, op->name) != 0) continue;
            cases++;
            case_of(t, op, c, &gradients);
        }
    op_case made;
    if (!cases && !is_core(op) && default_case(&t->ref, op, &made)) {
        cases++;
        case_of(t, op, &made, &gradients);
    }
    if (!cases) tap_ok(0, "%s: the op has no case; add one to a table in tests/ops", op->name);
    else if (HCT_HAS(op, grad) && t->o.gradients && !gradients && !t->o.name && !t->o.bench && !t->o.list)
        tap_ok(0, "%s: the op has a gradient that no case checks", op->name);
    for (size_t i = 0; t->o.list && i < hct_kernel_count(t->dev.ctx); i++) {
        const hct_kernel *k = hct_kernel_at(t->dev.ctx, i);
        if (!strcmp(k->op, op->name)) printf("  kernel %s on %s, priority %d\n", k->name, k->backend, k->priority);
    }
}

static void unknown_cases(const tester *t, const hct_ctx *ctx) {
    for (size_t f = 0; f < n_tables + 1; f++)
        for (const op_case *c = f < n_tables ? tables[f] : t->more; c && c->op; c++)
            if (!hct_op_find(ctx, c->op))
                tap_ok(0, "the table has a case '%s' for '%s', which is no op", c->name, c->op);
}

static bool kernel_is_there(const tester *t) {
    for (size_t i = 0; i < hct_kernel_count(t->dev.ctx); i++) {
        const hct_kernel *k = hct_kernel_at(t->dev.ctx, i);
        if (!strcmp(k->backend, t->dev.backend->name) && wanted(t->o.op, k->op) && wanted_kernel(t->o.kernel, k->name))
            return true;
    }
    return false;
}

int main(int argc, char **argv) {
    tester t = {.o = {.device = "cpu", .kernels = true, .gradients = true}};
    static const struct argp argp = {known, parse, NULL, "Holds every op and kernel to the conformance table.",
                                     NULL,  NULL,  NULL};
    if (argp_parse(&argp, argc, argv, 0, NULL, &t.o) != 0) return 2;
    hct_err err = {0, ""};
    hct_ctx *ctx = hct_open(&(hct_options){t.o.plugins, t.o.n_plugins}, &err);
    bool ok = ctx && device_open(&t.dev, ctx, t.o.device, &err) && device_open(&t.ref, ctx, "cpu", &err) &&
              (t.tape_dev = hct_device_open(ctx, "cpu", &err)) != NULL;
    if (!ok && t.dev.backend && err.code == HCT_ENOTFOUND) { /* the backend is there, a device is not */
        printf("1..0 # SKIP %s\n", err.msg);
        hct_close(ctx);
        return 0;
    }
    if (ok && t.o.cases) ok = (t.more = case_file_read(t.o.cases, &err)) != NULL;
    if (!ok) fprintf(stderr, "test-ops: %s\n", err.msg);
    t.reference = ok && !strcmp(t.dev.backend->name, "cpu");
    if (!t.reference && t.o.kernels) t.o.gradients = false; /* only where --grad asks for it */
    if (ok && !t.reference && t.o.gradients) ok = (t.other = hct_device_open(ctx, t.o.device, &err)) != NULL;
    size_t met = 0;
    if (ok && t.o.kernel && !kernel_is_there(&t)) {
        fprintf(stderr, "test-ops: no kernel%s%s on %s is called '%s'; --list shows them\n", t.o.op ? " of " : "",
                t.o.op ? t.o.op : "", t.dev.backend->name, t.o.kernel);
        ok = false;
    }
    if (ok && !t.o.op && !t.o.list && !t.o.bench) unknown_cases(&t, ctx);
    for (size_t i = 0; ok && i < hct_op_count(ctx); i++) {
        if (!wanted(t.o.op, hct_op_at(ctx, i)->name)) continue;
        met++;
        op_of(&t, hct_op_at(ctx, i));
    }
    if (ok && !met) fprintf(stderr, "test-ops: there is no op '%s'; --list shows them\n", t.o.op);
    hct_device_close(t.tape_dev);
    hct_device_close(t.other);
    device_close(&t.dev);
    device_close(&t.ref);
    hct_close(ctx);
    case_file_free(t.more);
    if (!ok || !met) return 2;
    if (t.o.list || t.o.bench) return 0;
    tap_note("ran %zu kernel runs; %zu cases refused by a kernel", t.runs, t.skipped);
    return tap_done();
}
