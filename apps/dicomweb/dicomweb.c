/* QIDO-RS and WADO-RS through libcurl. */
#include "dicomweb/dicomweb.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "dicomweb/multipart.h"
#include "hct/io.h"
#include "support/stop.h"
#include "support/text.h"

enum { JSON_MOST = 16 << 20, SERIES_MOST = 1000, INSTANCES_MOST = 20000, CONNECT = 30 };

typedef struct asking {
    const dicomweb_options *o;
    CURL *curl;
    char *token;
    char said[CURL_ERROR_SIZE];
    hct_status status; /* of what came */
    hct_err why;
    text_buffer json;
    multipart parts;
    bool is_series, begun;
    const char *folder;
    size_t n_files;
    int64_t bytes;
} asking;

static hct_status read_token(const char *path, char **ret, hct_err *err) {
    hct_status s = hct_read_file(path, ret, NULL, err);
    if (s < 0) return s;
    (*ret)[strcspn(*ret, "\r\n")] = '\0';
    if (!**ret || strpbrk(*ret, " \t")) return hct_fail(err, HCT_EINVAL, "%s: its first line is no token", path);
    return HCT_OK;
}

static bool begins(const char *text, const char *with) { return strncasecmp(text, with, strlen(with)) == 0; }

/* Whether the address is this machine's own. */
static bool is_local(const char *url) {
    static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    for (size_t i = 0; i < 3; i++)
        if (begins(url, hosts[i]) && strchr(":/", url[strlen(hosts[i])])) return true; /* or the end */
    return false;
}

static hct_status check(const dicomweb_options *o, hct_err *err) {
    if (!begins(o->url, "http://") && !begins(o->url, "https://"))
        return hct_fail(err, HCT_EINVAL, "%s: an address that begins with https:// or http:// is needed", o->url);
    if (strpbrk(o->url, "?#@ \r\n"))
        return hct_fail(err, HCT_EINVAL, "%s: the plain address of a service is needed, without user, ? and #", o->url);
    if (!text_is_uid(o->study)) return hct_fail(err, HCT_EINVAL, "--study %s: is no UID", o->study);
    if (o->token_file && begins(o->url, "http://") && !is_local(o->url))
        return hct_fail(err, HCT_EINVAL, "%s: a token is not sent without encryption; use https", o->url);
    return HCT_OK;
}

/* ---- what comes ---- */

static size_t take(char *bytes, size_t size, size_t n, void *context) {
    asking *a = context;
    long code = 0;
    n *= size;
    curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != 200) return n; /* what an error page says is nobody's matter */
    if (!a->is_series) {
        if (text_length(&a->json) + n > JSON_MOST)
            a->status = hct_fail(&a->why, HCT_EINVAL, "the list of series is larger than %d MB", JSON_MOST >> 20);
        else text_add(&a->json, bytes, n);
    } else {
        if (!a->begun) {
            char *type = NULL;
            const multipart_limits limits = {INSTANCES_MOST, (a->o->max_mb << 20) - a->bytes};
            curl_easy_getinfo(a->curl, CURLINFO_CONTENT_TYPE, &type);
            a->begun = true;
            a->status = multipart_begin(&a->parts, type, a->folder, a->n_files, limits, &a->why);
        }
        if (a->status == HCT_OK) a->status = multipart_add(&a->parts, bytes, n, &a->why);
    }
    return a->status < 0 ? 0 : n;
}

static int go_on(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up) {
    (void)context, (void)total, (void)now, (void)up_total, (void)up;
    return stop_asked() != 0;
}

/* What an answer that is none means. */
static hct_status refused(const asking *a, long code, hct_err *err) {
    if (code == 401 || code == 403)
        return hct_fail(err, HCT_EIO, "%s: refused (%ld)%s", a->o->url, code,
                        a->o->token_file ? ": its token is not taken" : ": it wants a token (--dicomweb-token FILE)");
    if (code == 404 || code == 204) return hct_fail(err, HCT_ENOTFOUND, "%s: has no such study", a->o->url);
    if (code >= 300 && code < 400)
        return hct_fail(err, HCT_EIO, "%s: points to another address (%ld), which is not followed; give that one",
                        a->o->url, code);
    return hct_fail(err, HCT_EIO, "%s: answers with status %ld", a->o->url, code);
}

static hct_status get(asking *a, const char *path, const char *accept, hct_err *err) {
    text_buffer url = {0}, bearer = {0}, accepted = {0};
    size_t n = strlen(a->o->url);
    while (n && a->o->url[n - 1] == '/') n--;
    text_printf(&url, "%.*s/studies/%s/series%s", (int)n, a->o->url, a->o->study, path);
    text_printf(&bearer, "Authorization: Bearer %s", a->token ? a->token : "");
    text_printf(&accepted, "Accept: %s", accept);
    const char *where = text_get(&url, "an address", err), *token = text_get(&bearer, "a token", err),
               *kind = text_get(&accepted, "a header", err);
    struct curl_slist *headers = where && token && kind ? curl_slist_append(NULL, kind) : NULL, *more = headers;
    if (headers && a->token) more = curl_slist_append(headers, token);
    hct_status s = more ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a request");
    long code = 0;
    *a->said = '\0';
    a->status = HCT_OK;
    a->begun = false;
    if (s == HCT_OK) {
        curl_easy_reset(a->curl);
        curl_easy_setopt(a->curl, CURLOPT_URL, where);
        curl_easy_setopt(a->curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(a->curl, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(a->curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(a->curl, CURLOPT_USERAGENT, "headct/" HEADCT_VERSION);
        curl_easy_setopt(a->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(a->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT);
        curl_easy_setopt(a->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(a->curl, CURLOPT_LOW_SPEED_TIME, (long)a->o->patience);
        curl_easy_setopt(a->curl, CURLOPT_ERRORBUFFER, a->said);
        curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, a);
        curl_easy_setopt(a->curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(a->curl, CURLOPT_XFERINFOFUNCTION, go_on);
        CURLcode got = curl_easy_perform(a->curl);
        curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &code);
        if (stop_asked()) s = stop_check(a->n_files, a->n_files, err);
        else if (a->status < 0) s = hct_fail(err, a->status, "%s: %s", a->o->url, a->why.msg);
        else if (got != CURLE_OK)
            s = hct_fail(err, HCT_EIO, "%s: %s", a->o->url, *a->said ? a->said : curl_easy_strerror(got));
        else if (code != 200) s = refused(a, code, err);
    }
    curl_slist_free_all(headers);
    text_free(&url);
    text_free(&bearer);
    text_free(&accepted);
    return s;
}

/* ---- series ---- */

static const char *first_value(const cJSON *set, const char *tag) {
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(set, tag), "Value");
    return cJSON_GetStringValue(cJSON_GetArrayItem(values, 0));
}

static hct_status list_series(asking *a, dicomweb_series *ret, hct_err *err) {
    hct_status s = get(a, "?includefield=00080060", "application/dicom+json", err);
    const char *text = s == HCT_OK ? text_get(&a->json, "an answer", err) : NULL;
    cJSON *root = text ? cJSON_Parse(text) : NULL;
    const int n = cJSON_IsArray(root) ? cJSON_GetArraySize(root) : 0;
    if (s == HCT_OK && !cJSON_IsArray(root))
        s = hct_fail(err, HCT_EFORMAT,
                     "%s: its list of series is no JSON array; is this the address of a DICOMweb service?", a->o->url);
    if (s == HCT_OK && n > SERIES_MOST)
        s = hct_fail(err, HCT_EINVAL, "%s: the study has more than %d series", a->o->url, SERIES_MOST);
    if (s == HCT_OK && !(ret->uid = calloc((size_t)n + 1, sizeof *ret->uid)))
        s = hct_fail(err, HCT_ENOMEM, "out of memory for a list of series");
    for (const cJSON *one = s == HCT_OK ? root->child : NULL; s == HCT_OK && one; one = one->next) {
        const char *modality = first_value(one, "00080060"), *uid = first_value(one, "0020000E");
        if (!uid || !text_is_uid(uid))
            s = hct_fail(err, HCT_EFORMAT, "%s: a series in its list has no valid UID", a->o->url);
        else if (modality && !strcmp(modality, "CT")) memcpy(ret->uid[ret->n++], uid, strlen(uid) + 1);
    }
    if (s == HCT_OK && !ret->n)
        s = hct_fail(err, HCT_ENOTFOUND, "%s: the study has no CT series (of %d)", a->o->url, n);
    cJSON_Delete(root);
    return s;
}

static hct_status fetch_series(asking *a, const char *uid, hct_err *err) {
    char path[80];
    snprintf(path, sizeof path, "/%s", uid);
    a->parts = (multipart){.out = NULL};
    hct_status s = get(a, path, "multipart/related; type=\"application/dicom\"; transfer-syntax=*", err);
    if (s == HCT_OK && !a->begun) s = hct_fail(err, HCT_EFORMAT, "%s: the answer for a series is empty", a->o->url);
    if (s == HCT_OK && multipart_end(&a->parts, &a->why) < 0)
        s = hct_fail(err, HCT_EFORMAT, "%s: %s", a->o->url, a->why.msg);
    a->n_files += a->parts.parts;
    a->bytes += a->parts.bytes;
    multipart_free(&a->parts);
    return s;
}

hct_status dicomweb_fetch(const dicomweb_options *o, const char *folder, dicomweb_series *ret, hct_err *err) {
    asking a = {.o = o, .folder = folder, .n_files = 1};
    *ret = (dicomweb_series){0};
    hct_status s = check(o, err);
    if (s == HCT_OK && o->token_file) s = read_token(o->token_file, &a.token, err);
    if (s == HCT_OK && (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(a.curl = curl_easy_init())))
        s = hct_fail(err, HCT_ENOMEM, "the HTTP library does not start");
    if (s == HCT_OK) s = list_series(&a, ret, err);
    a.is_series = true;
    for (size_t i = 0; s == HCT_OK && i < ret->n; i++) s = fetch_series(&a, ret->uid[i], err);
    if (a.curl) curl_easy_cleanup(a.curl);
    text_free(&a.json);
    free(a.token);
    return s;
}
