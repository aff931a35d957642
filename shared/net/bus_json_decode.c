// JSON as the bytes of a message, by its descriptor: what bus_message_json writes is read back.
// Written as protobuf's wire format, so that one parser alone makes messages.
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

#include "base/strbuf.h"
#include "net/bus_internal.h"
#include "net/wire.h"

#define DEPTH_MAX 8

static int put_message(const ProtobufCMessageDescriptor *type, const json_t *object, unsigned depth,
                       struct strbuf *out, char reason[BUS_REASON_MAX]);

static int complain(char reason[BUS_REASON_MAX], const char *field, const char *allowed)
{
    (void)snprintf(reason, BUS_REASON_MAX, "%s: allowed is %s", field, allowed);
    return -EPROTO;
}

static void put_varint(struct strbuf *out, uint64_t value)
{
    uint8_t bytes[WIRE_VARINT_MAX];

    strbuf_append(out, bytes, (size_t)(wire_put_varint(bytes, value) - bytes));
}

static void put_tag(struct strbuf *out, const ProtobufCFieldDescriptor *field, enum wire_type type)
{
    put_varint(out, (uint64_t)field->id << 3 | type);
}

static void put_block(struct strbuf *out, const ProtobufCFieldDescriptor *field, const void *bytes,
                      size_t len)
{
    put_tag(out, field, WIRE_BYTES);
    put_varint(out, len);
    strbuf_append(out, bytes, len);
}

static int put_integer(const ProtobufCFieldDescriptor *field, const json_t *value,
                       struct strbuf *out, char reason[BUS_REASON_MAX])
{
    bool is_wide = field->type == PROTOBUF_C_TYPE_UINT64;
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < 0 || (!is_wide && number > UINT32_MAX))
        return complain(reason, field->name,
                        is_wide ? "a number from 0 to 9223372036854775807"
                                : "a number from 0 to 4294967295");
    put_tag(out, field, WIRE_VARINT);
    put_varint(out, (uint64_t)number);
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int put_hex(const ProtobufCFieldDescriptor *field, const json_t *value, struct strbuf *out,
                   char reason[BUS_REASON_MAX])
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (!text || len % 2 != 0)
        return complain(reason, field->name, "a text of hexadecimal digits");
    put_tag(out, field, WIRE_BYTES);
    put_varint(out, len / 2);
    for (size_t i = 0; i < len; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        unsigned char byte = (unsigned char)(high * 16 + low);

        if (high < 0 || low < 0)
            return complain(reason, field->name, "a text of hexadecimal digits");
        strbuf_append(out, &byte, 1);
    }
    return 0;
}

static int put_double(const ProtobufCFieldDescriptor *field, const json_t *value,
                      struct strbuf *out, char reason[BUS_REASON_MAX])
{
    double number = json_number_value(value);
    uint64_t bits;
    unsigned char bytes[sizeof(bits)];

    if (!json_is_number(value))
        return complain(reason, field->name, "a number");
    memcpy(&bits, &number, sizeof(bits));
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(bits >> 8 * i);
    put_tag(out, field, WIRE_64);
    strbuf_append(out, bytes, sizeof(bytes));
    return 0;
}

static int put_submessage(const ProtobufCFieldDescriptor *field, const json_t *value,
                          unsigned depth, struct strbuf *out, char reason[BUS_REASON_MAX])
{
    struct strbuf inner = STRBUF_INIT;
    int error = put_message(field->descriptor, value, depth + 1, &inner, reason);

    if (!error && !strbuf_ok(&inner))
        error = -ENOMEM;
    if (!error)
        put_block(out, field, strbuf_text(&inner), inner.len);
    strbuf_fini(&inner);
    return error;
}

// The types that our messages have; signed and fixed ones are none of them.
static int put_value(const ProtobufCFieldDescriptor *field, const json_t *value, unsigned depth,
                     struct strbuf *out, char reason[BUS_REASON_MAX])
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
        return put_integer(field, value, out, reason);
    case PROTOBUF_C_TYPE_DOUBLE:
        return put_double(field, value, out, reason);
    case PROTOBUF_C_TYPE_BOOL:
        if (!json_is_boolean(value))
            return complain(reason, field->name, "true or false");
        put_tag(out, field, WIRE_VARINT);
        put_varint(out, json_is_true(value));
        return 0;
    case PROTOBUF_C_TYPE_STRING:
        if (!json_is_string(value))
            return complain(reason, field->name, "a text");
        put_block(out, field, json_string_value(value), json_string_length(value));
        return 0;
    case PROTOBUF_C_TYPE_BYTES:
        return put_hex(field, value, out, reason);
    case PROTOBUF_C_TYPE_MESSAGE:
        return put_submessage(field, value, depth, out, reason);
    default:
        return complain(reason, field->name, "nothing in JSON");
    }
}

static int put_field(const ProtobufCFieldDescriptor *field, const json_t *value, unsigned depth,
                     struct strbuf *out, char reason[BUS_REASON_MAX])
{
    size_t i;
    const json_t *item;
    int error = 0;

    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return put_value(field, value, depth, out, reason);
    if (!json_is_array(value))
        return complain(reason, field->name, "a list");
    json_array_foreach(value, i, item)
    {
        error = put_value(field, item, depth, out, reason);
        if (error < 0)
            break;
    }
    return error;
}

static int put_message(const ProtobufCMessageDescriptor *type, const json_t *object, unsigned depth,
                       struct strbuf *out, char reason[BUS_REASON_MAX])
{
    const char *key;
    json_t *value;

    if (!json_is_object(object) || depth > DEPTH_MAX) {
        (void)snprintf(reason, BUS_REASON_MAX, "a %s must be an object, at most %d deep",
                       type->short_name, DEPTH_MAX);
        return -EPROTO;
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(type, key);
        int error;

        if (!field) {
            (void)snprintf(reason, BUS_REASON_MAX, "%s has no field '%.40s'", type->short_name,
                           key);
            return -EPROTO;
        }
        error = put_field(field, value, depth, out, reason);
        if (error < 0)
            return error;
    }
    return 0;
}

int bus_json_decode(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                    struct strbuf *out, char reason[BUS_REASON_MAX])
{
    json_error_t where;
    json_t *root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &where);
    int error;

    if (!root) {
        (void)snprintf(reason, BUS_REASON_MAX, "no JSON, at byte %d: %.100s", where.position,
                       where.text);
        return -EPROTO;
    }
    error = put_message(type, root, 0, out, reason);
    json_decref(root);
    return error < 0 || strbuf_ok(out) ? error : -ENOMEM;
}

int bus_message_from_json(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                          char ret_reason[BUS_REASON_MAX], ProtobufCMessage **ret_message)
{
    struct strbuf encoded = STRBUF_INIT;
    int error = bus_json_decode(type, bytes, len, &encoded, ret_reason);

    if (!error)
        error = bus_type_decode(type, strbuf_text(&encoded), encoded.len, ret_message);
    if (error == -EPROTO && ret_reason[0] == '\0')
        (void)snprintf(ret_reason, BUS_REASON_MAX, "it is no %s", type->short_name);
    strbuf_fini(&encoded);
    return error;
}
