#include "limit/key.h"

#include <string.h>

#include "base/sip_hash.h"

#define INLINE_MAX  64 // longer texts go in as their hash
#define PARTS_BYTES ((4 + LIMIT_KEY_HEADERS_MAX) * (INLINE_MAX + 2))

_Static_assert(SIP_KEY_BYTES == SEGMENT_KEY_BYTES, "the segment's key is SipHash's");

struct hash_form { // SipHash-c-d
    const uint8_t *key;
    unsigned c, d;
};

uint32_t key_parts_of(const struct limit_facts *facts, uint32_t key_parts)
{
    if (!(key_parts & LIMIT_KEY_CALLER)) {
        return key_parts;
    }
    uint32_t caller = facts->subject_len > 0   ? LIMIT_KEY_SUBJECT
                      : facts->api_key_len > 0 ? LIMIT_KEY_API_KEY
                                               : LIMIT_KEY_CLIENT;
    return (key_parts & ~(uint32_t)LIMIT_KEY_CALLER) | caller;
}

static uint64_t hash_of(const struct hash_form *form, const void *bytes, size_t len)
{
    return sip_hash(form->key, bytes, len, form->c, form->d);
}

// Each part begins with its kind and its length, so that no two keys have the same bytes.
static size_t put_part(const struct hash_form *form, uint32_t kind, const void *bytes, size_t len,
                       uint8_t *out)
{
    uint64_t hash;
    out[0] = (uint8_t)kind;
    out[1] = (uint8_t)len;
    if (len > INLINE_MAX) {
        hash = hash_of(form, bytes, len);
        out[1] = UINT8_MAX;
        bytes = &hash;
        len = sizeof(hash);
    }
    if (len > 0) {
        memcpy(out + 2, bytes, len);
    }
    return 2 + len;
}

static size_t put_client(const struct address *client, uint32_t ipv6_prefix_bits, uint8_t *out)
{
    out[0] = LIMIT_KEY_CLIENT;
    out[1] = client->family;
    if (client->family == 4) {
        memcpy(out + 2, client->bytes, 4);
        return 2 + 4;
    }
    struct address masked = *client;
    address_mask(&masked, address_client_bits(client, ipv6_prefix_bits));
    memcpy(out + 2, masked.bytes, sizeof(masked.bytes));
    return 2 + sizeof(masked.bytes);
}

static uint64_t hash_parts(const struct hash_form *form, const struct limit_facts *facts,
                           uint32_t parts, const struct limit_policy *policy)
{
    uint8_t bytes[PARTS_BYTES];
    size_t len = 0;
    if (parts & LIMIT_KEY_CLIENT) {
        len += put_client(&facts->client, policy->ipv6_prefix_bits, bytes + len);
    }
    if (parts & LIMIT_KEY_SUBJECT) {
        len += put_part(form, LIMIT_KEY_SUBJECT, facts->subject, facts->subject_len, bytes + len);
    }
    if (parts & LIMIT_KEY_API_KEY) {
        len += put_part(form, LIMIT_KEY_API_KEY, facts->api_key, facts->api_key_len, bytes + len);
    }
    if (parts & LIMIT_KEY_ROUTE) {
        size_t route_len = facts->route ? strlen(facts->route) : 0;
        len += put_part(form, LIMIT_KEY_ROUTE, facts->route, route_len, bytes + len);
    }
    for (uint32_t i = 0; (parts & LIMIT_KEY_HEADERS) != 0 && i < LIMIT_KEY_HEADERS_MAX; i++) {
        size_t value_len = 0;
        const char *name = policy->key_headers[i];
        const char *value = facts->header && name[0] != '\0'
                                ? facts->header(facts->header_arg, name, &value_len)
                                : NULL;
        len += put_part(form, LIMIT_KEY_HEADERS, value, value ? value_len : 0, bytes + len);
    }
    return hash_of(form, bytes, len);
}

uint64_t key_hash(const uint8_t hash_key[SEGMENT_KEY_BYTES], const struct limit_facts *facts,
                  uint32_t parts, const struct limit_policy *policy)
{
    if (parts == LIMIT_KEY_CLIENT && facts->client.family == 4) { // what hash_parts makes of it
        struct sip_hash sip = sip_begin(hash_key);
        uint64_t rest = LIMIT_KEY_CLIENT | 4 << 8 | sip_word(facts->client.bytes, 4) << 16;
        return sip_end(&sip, rest, 2 + 4, KEY_HASH_C, KEY_HASH_D);
    }
    const struct hash_form form = {.key = hash_key, .c = KEY_HASH_C, .d = KEY_HASH_D};
    return hash_parts(&form, facts, parts, policy);
}

void key_id(const struct limit_facts *facts, uint32_t parts, const struct limit_policy *policy,
            uint64_t ret_id[2])
{
    // No secret: all nodes must agree, and 128 bits are too many to be hit by trying.
    static const uint8_t keys[2][SEGMENT_KEY_BYTES] = {"valvechain-key-1", "valvechain-key-2"};
    for (int i = 0; i < 2; i++) {
        const struct hash_form form = {.key = keys[i], .c = 2, .d = 4};
        ret_id[i] = hash_parts(&form, facts, parts, policy);
    }
}
