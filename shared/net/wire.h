// Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding), for what has to be read
// or written faster than protobuf-c walks descriptors. Nothing is copied or allocated: fields point
// into the message. Reads never pass the end; a writer's caller has made room. Thread: any.
#ifndef VALVECHAIN_NET_WIRE_H
#define VALVECHAIN_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIRE_VARINT_MAX 10 // bytes
#define WIRE_TAG_MAX    5  // of a tag and of a length
#define WIRE_NUMBER_MAX ((1u << 29) - 1)

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct wire { // what is left of a message to read
    const uint8_t *at, *end;
};
struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;   // WIRE_VARINT
    const char *text; // the others: `len` bytes
    size_t len;
};

static inline struct wire wire_of(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    return (struct wire){at, at + len};
}

static inline bool wire_read_varint(struct wire *wire, unsigned max_bytes, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < max_bytes && wire->at < wire->end; i++) {
        uint8_t byte = *wire->at++;
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

// To be called while something is left. False: this is no message (groups are none of ours).
static inline bool wire_read_field(struct wire *wire, struct wire_field *ret_field)
{
    uint64_t tag, len = 0;
    if (!wire_read_varint(wire, WIRE_TAG_MAX, &tag) || tag >> 3 == 0 || tag >> 3 > WIRE_NUMBER_MAX)
        return false;
    ret_field->number = (uint32_t)(tag >> 3);
    ret_field->type = (enum wire_type)(tag & 7);
    switch (tag & 7) {
    case WIRE_VARINT:
        return wire_read_varint(wire, WIRE_VARINT_MAX, &ret_field->value);
    case WIRE_BYTES:
        if (!wire_read_varint(wire, WIRE_TAG_MAX, &len))
            return false;
        break;
    case WIRE_64:
        len = 8;
        break;
    case WIRE_32:
        len = 4;
        break;
    default:
        return false;
    }
    if (len > (uint64_t)(wire->end - wire->at))
        return false;
    ret_field->text = (const char *)wire->at;
    ret_field->len = (size_t)len;
    wire->at += len;
    return true;
}

// Each returns where the next byte goes.
static inline uint8_t *wire_put_varint(uint8_t *out, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
}

static inline uint8_t *wire_put_tag(uint8_t *out, uint32_t number, enum wire_type type)
{
    return wire_put_varint(out, (uint64_t)number << 3 | type);
}

// proto3: what is 0, false or empty is left out.
static inline uint8_t *wire_put_number(uint8_t *out, uint32_t number, uint64_t value)
{
    return value ? wire_put_varint(wire_put_tag(out, number, WIRE_VARINT), value) : out;
}

static inline uint8_t *wire_put_bytes(uint8_t *out, uint32_t number, const void *bytes, size_t len)
{
    if (len == 0)
        return out;
    out = wire_put_varint(wire_put_tag(out, number, WIRE_BYTES), len);
    memcpy(out, bytes, len);
    return out + len;
}

#endif
