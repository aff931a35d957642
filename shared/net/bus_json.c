#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "net/bus.h"

static void json_bytes(const ProtobufCBinaryData *data, struct strbuf *out)
{
    strbuf_puts(out, "\"");
    for (size_t i = 0; i < data->len; i++)
        strbuf_printf(out, "%02x", data->data[i]);
    strbuf_puts(out, "\"");
}

static void json_enum(const ProtobufCFieldDescriptor *field, int value, struct strbuf *out)
{
    const ProtobufCEnumValue *known =
        protobuf_c_enum_descriptor_get_value(field->descriptor, value);

    if (known)
        strbuf_json_string(out, known->name, strlen(known->name));
    else
        strbuf_printf(out, "%d", value);
}

// The shorter of two forms that reads back as the same number.
static void json_number(double value, struct strbuf *out)
{
    char text[32];

    if (!isfinite(value)) {
        strbuf_puts(out, "null");
        return;
    }
    snprintf(text, sizeof(text), "%.15g", value);
    if (islessgreater(strtod(text, NULL), value))
        snprintf(text, sizeof(text), "%.17g", value);
    strbuf_puts(out, text);
}

// `value` points at one value of the field, as protobuf-c lays it out.
static void json_value(const ProtobufCFieldDescriptor *field, const void *value, struct strbuf *out)
{
    const char *text;

    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        strbuf_printf(out, "%" PRId32, *(const int32_t *)value);
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        strbuf_printf(out, "%" PRIu32, *(const uint32_t *)value);
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        strbuf_printf(out, "%" PRId64, *(const int64_t *)value);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        strbuf_printf(out, "%" PRIu64, *(const uint64_t *)value);
        return;
    case PROTOBUF_C_TYPE_FLOAT:
        json_number((double)*(const float *)value, out);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        json_number(*(const double *)value, out);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        strbuf_puts(out, *(const protobuf_c_boolean *)value ? "true" : "false");
        return;
    case PROTOBUF_C_TYPE_ENUM:
        json_enum(field, *(const int *)value, out);
        return;
    case PROTOBUF_C_TYPE_STRING:
        text = *(char *const *)value;
        strbuf_json_string(out, text ? text : "", text ? strlen(text) : 0);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        json_bytes(value, out);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        bus_message_json(*(ProtobufCMessage *const *)value, out);
        return;
    }
    strbuf_puts(out, "null");
}

static size_t value_bytes(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static void json_repeated(const ProtobufCFieldDescriptor *field, const char *base,
                          struct strbuf *out)
{
    size_t n = *(const size_t *)(const void *)(base + field->quantifier_offset);
    const char *values = *(char *const *)(const void *)(base + field->offset);

    strbuf_puts(out, "[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            strbuf_puts(out, ",");
        json_value(field, values + i * value_bytes(field), out);
    }
    strbuf_puts(out, "]");
}

// Messages, optional fields and members of a oneof may be absent; plain fields of proto3 never are.
static bool is_absent(const ProtobufCFieldDescriptor *field, const char *base)
{
    const char *quantifier = base + field->quantifier_offset;

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return false;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)(const void *)quantifier != field->id;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return !*(void *const *)(const void *)(base + field->offset);
    if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type == PROTOBUF_C_TYPE_STRING)
        return !*(void *const *)(const void *)(base + field->offset);
    if (field->label == PROTOBUF_C_LABEL_OPTIONAL)
        return !*(const protobuf_c_boolean *)(const void *)quantifier;
    return false;
}

void bus_message_json(const ProtobufCMessage *message, struct strbuf *out)
{
    const char *base = (const char *)message, *comma = "";

    if (!message) {
        strbuf_puts(out, "null");
        return;
    }
    strbuf_puts(out, "{");
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];

        if (is_absent(field, base))
            continue;
        strbuf_printf(out, "%s\"%s\":", comma, field->name);
        comma = ",";
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            json_repeated(field, base, out);
        else
            json_value(field, base + field->offset, out);
    }
    strbuf_puts(out, "}");
}
