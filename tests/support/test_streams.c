/* support/streams.h: no two purposes share a key, laid over one another by validation's constant or not. */
#include <stddef.h>
#include <stdint.h>

#include "check_main.h"
#include "support/streams.h"

START_TEST(all_are_apart) {
    const uint64_t all[] = STREAM_ALL;
    size_t n = sizeof all / sizeof *all;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            ck_assert_uint_ne(all[i], all[j]);
            ck_assert_uint_ne(all[i] ^ STREAM_VALIDATION, all[j]);
        }
}
END_TEST

CHECK_MAIN("streams", all_are_apart)
