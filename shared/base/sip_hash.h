// SipHash-c-d, a keyed hash whose values nobody can foresee without the key (Aumasson and
// Bernstein, "SipHash: a fast short-input PRF", 2012). In place, so that a text of a known length
// costs its rounds and nothing else. c rounds a word and d at the end: 1-3 is the form for tables
// in one machine's memory; what is stored or told to others takes libsodium's 2-4. Thread: any.
#ifndef VALVECHAIN_BASE_SIP_HASH_H
#define VALVECHAIN_BASE_SIP_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SIP_KEY_BYTES 16

struct sip_hash {
    uint64_t v0, v1, v2, v3;
};

// Bytes as a word, the first one lowest.
static inline uint64_t sip_word(const void *bytes, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, bytes, len);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline uint64_t sip_turn(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void sip_rounds(struct sip_hash *sip, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        sip->v0 += sip->v1;
        sip->v2 += sip->v3;
        sip->v1 = sip_turn(sip->v1, 13) ^ sip->v0;
        sip->v3 = sip_turn(sip->v3, 16) ^ sip->v2;
        sip->v0 = sip_turn(sip->v0, 32) + sip->v3;
        sip->v2 += sip->v1;
        sip->v1 = sip_turn(sip->v1, 17) ^ sip->v2;
        sip->v3 = sip_turn(sip->v3, 21) ^ sip->v0;
        sip->v2 = sip_turn(sip->v2, 32);
    }
}

static inline struct sip_hash sip_begin(const uint8_t key[SIP_KEY_BYTES])
{
    uint64_t k0 = sip_word(key, 8), k1 = sip_word(key + 8, 8);
    // "somepseudorandomlygeneratedbytes"
    return (struct sip_hash){.v0 = k0 ^ UINT64_C(0x736f6d6570736575),
                             .v1 = k1 ^ UINT64_C(0x646f72616e646f6d),
                             .v2 = k0 ^ UINT64_C(0x6c7967656e657261),
                             .v3 = k1 ^ UINT64_C(0x7465646279746573)};
}

static inline void sip_put(struct sip_hash *sip, uint64_t word, unsigned c)
{
    sip->v3 ^= word;
    sip_rounds(sip, c);
    sip->v0 ^= word;
}

// `rest`: the last bytes, less than a word; `len`: of the whole text.
static inline uint64_t sip_end(struct sip_hash *sip, uint64_t rest, size_t len, unsigned c,
                               unsigned d)
{
    sip_put(sip, rest | (uint64_t)len << 56, c);
    sip->v2 ^= 0xff;
    sip_rounds(sip, d);
    return sip->v0 ^ sip->v1 ^ sip->v2 ^ sip->v3;
}

static inline uint64_t sip_hash(const uint8_t key[SIP_KEY_BYTES], const void *bytes, size_t len,
                                unsigned c, unsigned d)
{
    struct sip_hash sip = sip_begin(key);
    const uint8_t *at = bytes;
    size_t left = len;
    for (; left >= 8; left -= 8, at += 8) {
        sip_put(&sip, sip_word(at, 8), c);
    }
    return sip_end(&sip, left > 0 ? sip_word(at, left) : 0, len, c, d);
}

#endif
