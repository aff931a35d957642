// JSON read as the message that it is; what bus_message_json writes comes back as it was.
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "net/bus_internal.h"

static int decode(const ProtobufCMessageDescriptor *type, const char *json,
                  ProtobufCMessage **ret_message, char reason[BUS_REASON_MAX])
{
    struct strbuf bytes = STRBUF_INIT;
    int error = bus_json_decode(type, json, strlen(json), &bytes, reason);

    *ret_message = NULL;
    if (!error)
        *ret_message =
            protobuf_c_message_unpack(type, NULL, bytes.len, (const uint8_t *)strbuf_text(&bytes));
    strbuf_fini(&bytes);
    return error;
}

static void expect_round_trip(const ProtobufCMessageDescriptor *type, const char *json)
{
    char reason[BUS_REASON_MAX] = "";
    struct strbuf out = STRBUF_INIT;
    ProtobufCMessage *message;

    cr_assert_eq(decode(type, json, &message, reason), 0, "%s: %s", json, reason);
    cr_assert_not_null(message);
    bus_message_json(message, &out);
    cr_expect_str_eq(strbuf_text(&out), json);
    strbuf_fini(&out);
    protobuf_c_message_free_unpacked(message, NULL);
}

Test(json_decode, what_is_written_is_read_back)
{
    expect_round_trip(
        &valvechain__v1__limit_verdict__descriptor,
        "{\"admitted\":true,\"error\":\"\",\"policy\":\"a\\\"b\",\"limit\":9223372036854775807,"
        "\"remaining\":128,\"reset_ms\":0,\"window_ms\":1,\"retry_after_ms\":0,"
        "\"token\":\"00ff7f80\",\"parts\":[{\"policy\":\"x\",\"denied\":false,\"shadow\":true,"
        "\"limit\":1,\"remaining\":0,\"reset_ms\":0,\"window_ms\":0},{\"policy\":\"\","
        "\"denied\":true,\"shadow\":false,\"limit\":0,\"remaining\":0,\"reset_ms\":0,"
        "\"window_ms\":0}]}");
    expect_round_trip(&valvechain__v1__proposal__descriptor,
                      "{\"signal\":\"cpu\",\"value\":-0.125,\"threshold\":70,"
                      "\"proposed_instances\":4294967295}");
    expect_round_trip(&valvechain__v1__limit_refunded__descriptor,
                      "{\"refunded\":2,\"refused\":[\"a\",\"\"]}");
}

Test(json_decode, what_does_not_fit_is_named)
{
    static const struct {
        const char *json, *reason;
    } rows[] = {
        {"{", "no JSON"},
        {"{\"client\":\"a\",\"client\":\"b\"}", "no JSON"},
        {"{} {}", "no JSON"},
        {"{\"klient\":\"a\"}", "LimitCheck has no field 'klient'"},
        {"{\"client\":null}", "client: allowed is a text"},
        {"{\"client\":[\"a\"]}", "client: allowed is a text"},
        {"{\"cost\":4294967296}", "cost: allowed is a number"},
        {"{\"cost\":1.0}", "cost: allowed is a number"},
        {"{\"cost\":true}", "cost: allowed is a number"},
        {"{\"peek\":\"true\"}", "peek: allowed is true or false"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char reason[BUS_REASON_MAX] = "";
        ProtobufCMessage *message;

        cr_expect_eq(
            decode(&valvechain__v1__limit_check__descriptor, rows[i].json, &message, reason),
            -EPROTO, "%s", rows[i].json);
        cr_expect_not_null(strstr(reason, rows[i].reason), "%s: %s", rows[i].json, reason);
    }
}

Test(json_decode, lists_and_bytes_have_their_forms)
{
    char reason[BUS_REASON_MAX] = "";
    ProtobufCMessage *message;

    cr_expect_eq(
        decode(&valvechain__v1__limit_refund__descriptor, "{\"tokens\":\"00\"}", &message, reason),
        -EPROTO);
    cr_expect_str_eq(reason, "tokens: allowed is a list");
    cr_expect_eq(
        decode(&valvechain__v1__limit_refund__descriptor, "{\"tokens\":[\"0\"]}", &message, reason),
        -EPROTO);
    cr_expect_eq(decode(&valvechain__v1__limit_refund__descriptor, "{\"tokens\":[\"zz\"]}",
                        &message, reason),
                 -EPROTO);
    cr_expect_eq(decode(&valvechain__v1__limit_check_batch__descriptor, "{\"checks\":[1]}",
                        &message, reason),
                 -EPROTO);
    cr_expect_not_null(strstr(reason, "a LimitCheck must be an object"));
}
