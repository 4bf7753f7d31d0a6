/* Plugins that must be refused, one a build: -DKIND=... chooses. */
#include <hct/plugin.h>

enum { WRONG_MAGIC = 1, OTHER_MAJOR, SHORT_STRUCT, NO_INIT, NO_SYMBOL, HALF_WAY, NOT_HERE, UNRESOLVED, TAKEN_NAME };

static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    (void)err;
    out[0] = p->in[0];
    return HCT_OK;
}
static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d, (void)p, (void)ret;
    return hct_plugin_fail(err, HCT_EINVAL, "a kernel of a refused plugin was asked");
}
static hct_status run(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                      hct_err *err) {
    (void)p, (void)s, (void)in, (void)out, (void)ws;
    return hct_plugin_fail(err, HCT_EINVAL, "a kernel of a refused plugin ran");
}

static const hct_op op = {.size = sizeof op, .name = KIND == TAKEN_NAME ? "gelu" : "bad.op", .infer = infer};
static const hct_kernel kernel = {.size = sizeof kernel,
                                  .name = "bad:gelu",
                                  .op = "gelu",
                                  .backend = "cpu",
                                  .priority = 5000,
                                  .plan = plan,
                                  .run = run};
#ifdef WITH_UNRESOLVED
void hct_function_that_is_nowhere(void);
#endif

/* Adds a kernel that would break gelu, then fails. */
static hct_status init(const hct_host *host, hct_err *err) {
#ifdef WITH_UNRESOLVED
    hct_function_that_is_nowhere();
#endif
    hct_status st = host->add_kernel(host, &kernel, err);
    if (st == HCT_OK) st = host->add_op(host, &op, err);
    if (st != HCT_OK) return st;
    return hct_plugin_fail(err, KIND == NOT_HERE ? HCT_NOTIMPL : HCT_EDEVICE, "the driver is missing; install it");
}

/* clang-format off */
#define DESC(magic, major, size, init_) \
    { magic, major, 0, size, 0, "bad", "1.0", "", init_ }
/* clang-format on */
#ifndef WITHOUT_SYMBOL
extern HCT_API const hct_plugin hct_plugin_v1;
const hct_plugin hct_plugin_v1 =
    DESC(KIND == WRONG_MAGIC ? 0x12345678u : HCT_MAGIC, KIND == OTHER_MAJOR ? HCT_MAJOR + 1 : HCT_MAJOR,
         KIND == SHORT_STRUCT ? offsetof(hct_plugin, init) : sizeof(hct_plugin), KIND == NO_INIT ? NULL : init);
#else
extern HCT_API hct_status (*const bad_unused)(const hct_host *, hct_err *);
hct_status (*const bad_unused)(const hct_host *, hct_err *) = init;
#endif

#ifdef WITH_CONSTRUCTOR
#include <stdio.h>
#include <unistd.h>

/* Of a plugin that is refused by what its file says no code runs. */
__attribute__((constructor)) static void must_not_run(void) {
    fputs("a refused plugin's constructor ran\n", stderr);
    _exit(9);
}
#endif
