#include "check_wire.h"

#include <errno.h>

_Static_assert(CHECK_PART_MAX < 0x80, "a part's length takes one byte");

// Texts that are not there are empty, not NULL: others compare them.
static const struct check_request nothing = {.client = {"", 0},
                                             .subject = {"", 0},
                                             .api_key = {"", 0},
                                             .path = {"", 0},
                                             .method = {"", 0},
                                             .tier = {"", 0},
                                             .region = {"", 0},
                                             .host = {"", 0}};

// Where a text of this number goes. NULL: it is no text.
static struct check_text *text_of(struct check_request *request, uint32_t number)
{
    switch (number) {
    case 1:
        return &request->client;
    case 2:
        return &request->subject;
    case 3:
        return &request->api_key;
    case 4:
        return &request->path;
    case 5:
        return &request->method;
    case 6:
        return &request->tier;
    case 7:
        return &request->region;
    case 12:
        return &request->host;
    default:
        return NULL;
    }
}

static bool *flag_of(struct check_request *request, uint32_t number)
{
    switch (number) {
    case 9:
        return &request->peek;
    case 10:
        return &request->refundable;
    case 11:
        return &request->explain;
    default:
        return NULL;
    }
}

static bool take_field(struct check_request *request, const struct wire_field *field)
{
    struct check_text *text = text_of(request, field->number);
    if (text) {
        *text = (struct check_text){field->text, field->len};
        return field->type == WIRE_BYTES;
    }
    bool *flag = flag_of(request, field->number);
    if (flag)
        *flag = field->value != 0;
    else if (field->number == 8)
        request->cost = (uint32_t)field->value;
    else
        return true; // of a newer asker
    return field->type == WIRE_VARINT;
}

bool check_wire_read(const void *bytes, size_t len, struct check_request *ret_request)
{
    struct wire wire = wire_of(bytes, len);
    struct check_request request = nothing;
    while (wire.at < wire.end) {
        struct wire_field field = {0};
        if (!wire_read_field(&wire, &field) || !take_field(&request, &field))
            return false;
    }
    *ret_request = request;
    return true;
}

// The next field 1 of a message that is nothing but a list of them. 0: there is none.
static int read_item(struct wire *wire, struct check_text *ret_item)
{
    while (wire->at < wire->end) {
        struct wire_field field;
        if (!wire_read_field(wire, &field))
            return -EPROTO;
        if (field.number != 1)
            continue;
        if (field.type != WIRE_BYTES)
            return -EPROTO;
        *ret_item = (struct check_text){field.text, field.len};
        return 1;
    }
    return 0;
}

int check_wire_read_batch(const void *bytes, size_t len, struct check_request *ret_requests,
                          size_t cap, size_t *ret_n)
{
    struct wire wire = wire_of(bytes, len);
    struct check_text item;
    size_t n = 0;
    int r;
    while ((r = read_item(&wire, &item)) > 0) {
        if (n == cap)
            return -E2BIG;
        if (!check_wire_read(item.text, item.len, &ret_requests[n++]))
            return -EPROTO;
    }
    if (r == 0)
        *ret_n = n;
    return r;
}

bool check_wire_find_of_batch(const void *bytes, size_t len, size_t index,
                              struct check_text *ret_check)
{
    struct wire wire = wire_of(bytes, len);
    struct check_text item;
    while (read_item(&wire, &item) > 0) {
        if (index-- == 0) {
            *ret_check = item;
            return true;
        }
    }
    return false;
}

bool check_wire_find_bad(const void *bytes, size_t len, size_t *ret_index)
{
    struct wire wire = wire_of(bytes, len);
    struct check_request request;
    struct check_text item;
    for (size_t n = 0; read_item(&wire, &item) > 0; n++) {
        if (!check_wire_read(item.text, item.len, &request)) {
            *ret_index = n;
            return true;
        }
    }
    return false;
}

int check_wire_read_refund(const void *bytes, size_t len, struct check_text *ret_tokens, size_t cap,
                           size_t *ret_n)
{
    struct wire wire = wire_of(bytes, len);
    struct check_text item;
    size_t n = 0;
    int r;
    while ((r = read_item(&wire, &item)) > 0) {
        if (n == cap)
            return -E2BIG;
        ret_tokens[n++] = item;
    }
    if (r == 0)
        *ret_n = n;
    return r;
}

static uint8_t *put_text(uint8_t *out, uint32_t number, const char *text)
{
    return wire_put_bytes(out, number, text, strlen(text));
}

static uint8_t *put_part(uint8_t *out, const Valvechain__V1__LimitPart *part)
{
    uint8_t *begin = out + 2; // behind tag and length
    uint8_t *end = put_text(begin, 1, part->policy);
    end = wire_put_number(end, 2, part->denied ? 1 : 0);
    end = wire_put_number(end, 3, part->shadow ? 1 : 0);
    end = wire_put_number(end, 4, part->limit);
    end = wire_put_number(end, 5, part->remaining);
    end = wire_put_number(end, 6, part->reset_ms);
    end = wire_put_number(end, 7, part->window_ms);
    out = wire_put_tag(out, 10, WIRE_BYTES);
    *out = (uint8_t)(end - begin);
    return end;
}

size_t check_wire_put_verdict(const Valvechain__V1__LimitVerdict *verdict,
                              uint8_t out[CHECK_VERDICT_MAX])
{
    uint8_t *end = wire_put_number(out, 1, verdict->admitted ? 1 : 0);
    end = put_text(end, 2, verdict->error);
    end = put_text(end, 3, verdict->policy);
    end = wire_put_number(end, 4, verdict->limit);
    end = wire_put_number(end, 5, verdict->remaining);
    end = wire_put_number(end, 6, verdict->reset_ms);
    end = wire_put_number(end, 7, verdict->window_ms);
    end = wire_put_number(end, 8, verdict->retry_after_ms);
    end = wire_put_bytes(end, 9, verdict->token.data, verdict->token.len);
    for (size_t i = 0; i < verdict->n_parts; i++)
        end = put_part(end, verdict->parts[i]);
    return (size_t)(end - out);
}
