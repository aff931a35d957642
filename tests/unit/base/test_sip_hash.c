#include <criterion/criterion.h>

#include "base/sip_hash.h"

// The example of the paper's appendix A.
Test(sip_hash, is_that_of_the_paper)
{
    uint8_t key[SIP_KEY_BYTES], text[15];
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)i;
    }
    memcpy(text, key, sizeof(text));
    cr_expect_eq(sip_hash(key, text, sizeof(text), 2, 4), UINT64_C(0xa129ca6149be45e5));
}

// CPython 3.11 hashes bytes by SipHash-1-3, with a key of zeros for PYTHONHASHSEED=0.
Test(sip_hash, of_fewer_rounds_is_that_of_others)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } pythons[] = {{"a", UINT64_C(0x407448d2b89b1813)},
                   {"valve", UINT64_C(0xfcf33e575689a8a8)},
                   {"01234567", UINT64_C(0xda3dcedf84ea6cc6)},
                   {"0123456789abcdefghi", UINT64_C(0x0cbcef883fcbf5d2)}};
    static const uint8_t key[SIP_KEY_BYTES];
    for (size_t i = 0; i < sizeof(pythons) / sizeof(pythons[0]); i++) {
        cr_expect_eq(sip_hash(key, pythons[i].text, strlen(pythons[i].text), 1, 3), pythons[i].hash,
                     "%s", pythons[i].text);
    }
}
