/* The key of a dataset: 32 random bytes in a file of the user's. Patients, studies and series go into the index as
 * HMAC-SHA-256 (RFC 2104) under it, dates shifted by a number of days that it gives each patient, cached headers
 * encrypted with it (AES-256-GCM). Whoever has the index alone learns none of them; whoever has the key can tell
 * again whose scan is whose. It never lies inside a dataset. */
#ifndef DATASET_KEY_H
#define DATASET_KEY_H

#include <stdbool.h>

#include "hct/types.h"

enum { KEY_BYTES = 32, KEY_HEX = 65 };

typedef struct dataset_key {
    unsigned char bytes[KEY_BYTES];
    unsigned char sealing[KEY_BYTES]; /* derived: encrypts headers */
    char *path;                       /* that it was read from */
    bool made;                        /* now, by this call */
} dataset_key;

/* path: a file of 64 hex digits; NULL: $XDG_CONFIG_HOME/headct/key, else ~/.config/headct/key, which is made (mode
 * 0600) where it is missing; a named file that is missing is made too. dataset: the key may not lie in it
 * (HCT_EINVAL). HCT_EFORMAT: no key; HCT_EIO: it cannot be read or made. Free with key_free. */
hct_status key_open(const char *path, const char *dataset, dataset_key *ret, hct_err *err);
/* One that no file holds, for a list that goes with the process. */
hct_status key_passing(dataset_key *ret, hct_err *err);
void key_free(dataset_key *k);
/* Whether key_open(path) would read a key, and not make one. */
bool key_is_there(const char *path);

/* HMAC-SHA-256 of `what`, a zero byte and text, as 64 hex digits: `what` ("patient", "series") keeps kinds apart. */
hct_status key_mark(const dataset_key *k, const char *what, const char *text, char ret[KEY_HEX], hct_err *err);
/* The same of a patient's id: blanks at both ends cut, in Unicode's normalisation form C. */
hct_status key_patient(const dataset_key *k, const char *id, char ret[KEY_HEX], hct_err *err);
/* Days by which the dates of a patient are shifted: 1 to 3,650 into the past. mark: of key_patient. */
hct_status key_days(const dataset_key *k, const char *mark, int *ret, hct_err *err);

/* Encrypts and signs n bytes; the caller's to free. *ret_n: n and KEY_SEAL_BYTES. NULL and err on failure. */
enum { KEY_SEAL_BYTES = 28 };
unsigned char *key_seal(const dataset_key *k, const unsigned char *bytes, size_t n, size_t *ret_n, hct_err *err);
/* The reverse. HCT_EFORMAT: made with another key, or damaged. */
unsigned char *key_unseal(const dataset_key *k, const unsigned char *bytes, size_t n, size_t *ret_n, hct_err *err);

#endif
