// The bytes of checks and verdicts, each field held against protobuf-c and the .proto.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check_wire.h"

static bool is_text(const struct check_text *text, const char *wanted)
{
    return text->len == strlen(wanted) && memcmp(text->text, wanted, text->len) == 0;
}

static size_t pack(const Valvechain__V1__LimitCheck *check, uint8_t *out, size_t cap)
{
    cr_assert_leq(valvechain__v1__limit_check__get_packed_size(check), cap);
    return valvechain__v1__limit_check__pack(check, out);
}

Test(check_wire, every_field_of_a_check_arrives_where_it_belongs)
{
    Valvechain__V1__LimitCheck check = VALVECHAIN__V1__LIMIT_CHECK__INIT;
    char client[] = "192.0.2.7", subject[] = "alice", api_key[] = "k", path[] = "/a",
         method[] = "POST";
    char tier[] = "premium", region[] = "asia", host[] = "example.org";
    struct check_request read;
    uint8_t bytes[256];

    check.client = client;
    check.subject = subject;
    check.api_key = api_key;
    check.path = path;
    check.method = method;
    check.tier = tier;
    check.region = region;
    check.host = host;
    check.cost = 4000000000u;
    check.peek = check.explain = true;
    cr_assert(check_wire_read(bytes, pack(&check, bytes, sizeof(bytes)), &read));
    cr_expect(is_text(&read.client, client));
    cr_expect(is_text(&read.subject, subject));
    cr_expect(is_text(&read.api_key, api_key));
    cr_expect(is_text(&read.path, path));
    cr_expect(is_text(&read.method, method));
    cr_expect(is_text(&read.tier, tier));
    cr_expect(is_text(&read.region, region));
    cr_expect(is_text(&read.host, host));
    cr_expect_eq(read.cost, 4000000000u);
    cr_expect(read.peek && read.explain && !read.refundable);
    check.peek = check.explain = false;
    check.refundable = true;
    cr_assert(check_wire_read(bytes, pack(&check, bytes, sizeof(bytes)), &read));
    cr_expect(read.refundable && !read.peek && !read.explain);
    cr_expect_eq(valvechain__v1__limit_check__descriptor.n_fields, 12, "a new field is read too");
}

Test(check_wire, what_is_not_there_is_empty_and_what_is_new_is_passed_over)
{
    // Fields 100 (varint), 101 (64 bits), 102 (bytes), 103 (32 bits), then the client.
    static const char newer[] = "\xa0\x06\x05\xa9\x06........\xb2\x06\x02zz\xbd\x06....\x0a\x01x";
    struct check_request read;

    cr_assert(check_wire_read("", 0, &read));
    cr_expect_str_empty(read.host.text);
    cr_expect_eq(read.cost, 0);
    cr_assert(check_wire_read(newer, sizeof(newer) - 1, &read));
    cr_expect(is_text(&read.client, "x"));
}

Test(check_wire, bytes_that_are_no_check_are_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\x0a", 1},                                          // no length
        {"\x0a\x02x", 3},                                     // cut off
        {"\x0a\xff\xff\xff\xff\x0fx", 7},                     // a length beyond everything
        {"\x08\x01", 2},                                      // a client that is a number
        {"\x42\x01x", 3},                                     // a cost that is a text
        {"\x4a\x01x", 3},                                     // a flag that is a text
        {"\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11}, // a number that does not end
        {"\x0b\x0c", 2},                                      // a group
        {"\x02\x01x", 3},                                     // field 0
        {"\x8a\x80\x80\x80\x80\x80\x00\x01x", 9},             // a tag of seven bytes
    };
    struct check_request read;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(check_wire_read(bad[i].bytes, bad[i].len, &read), "case %zu", i);
}

Test(check_wire, a_batch_is_read_as_a_whole_or_not_at_all)
{
    static const char two[] = "\x0a\x03\x0a\x01x\x0a\x03\x0a\x01y",
                      torn[] = "\x0a\x03\x0a\x01x\x0a\x02\x0a\x05";
    struct check_request read[2];
    struct check_text one;
    size_t n = 7;

    cr_assert_eq(check_wire_read_batch(two, sizeof(two) - 1, read, 2, &n), 0);
    cr_expect_eq(n, 2);
    cr_expect(is_text(&read[0].client, "x") && is_text(&read[1].client, "y"));
    cr_expect_eq(check_wire_read_batch(two, sizeof(two) - 1, read, 1, &n), -E2BIG);
    cr_expect_eq(check_wire_read_batch(torn, sizeof(torn) - 1, read, 2, &n), -EPROTO);
    cr_expect_eq(n, 2, "a failure changes nothing");
    cr_assert(check_wire_find_bad(torn, sizeof(torn) - 1, &n));
    cr_expect_eq(n, 1);
    cr_expect_not(check_wire_find_bad(two, sizeof(two) - 1, &n));
    cr_expect_not(check_wire_find_bad("\x0a", 1, &n), "the batch itself is torn");
    cr_assert_eq(check_wire_read_batch("", 0, read, 2, &n), 0);
    cr_expect_eq(n, 0);
    cr_assert(check_wire_find_of_batch(two, sizeof(two) - 1, 1, &one));
    cr_expect(is_text(&one, "\x0a\x01y"));
    cr_expect_not(check_wire_find_of_batch(two, sizeof(two) - 1, 2, &one));
}

Test(check_wire, tokens_of_a_refund)
{
    static const char two[] = "\x0a\x01x\x0a\x00";
    struct check_text tokens[2];
    size_t n = 7;

    cr_assert_eq(check_wire_read_refund(two, sizeof(two) - 1, tokens, 2, &n), 0);
    cr_expect_eq(n, 2);
    cr_expect(is_text(&tokens[0], "x") && tokens[1].len == 0);
    cr_expect_eq(check_wire_read_refund(two, sizeof(two) - 1, tokens, 1, &n), -E2BIG);
    cr_expect_eq(check_wire_read_refund("\x08\x01", 2, tokens, 1, &n), -EPROTO);
}

static void expect_as_protobuf_c(const Valvechain__V1__LimitVerdict *verdict)
{
    uint8_t ours[CHECK_VERDICT_MAX], theirs[2 * CHECK_VERDICT_MAX];
    size_t len = valvechain__v1__limit_verdict__get_packed_size(verdict);

    cr_assert_leq(len, CHECK_VERDICT_MAX);
    cr_assert_eq(valvechain__v1__limit_verdict__pack(verdict, theirs), len);
    cr_assert_eq(check_wire_put_verdict(verdict, ours), len);
    cr_expect_arr_eq(ours, theirs, len);
}

Test(check_wire, a_verdict_is_written_as_protobuf_c_writes_it)
{
    Valvechain__V1__LimitVerdict verdict = VALVECHAIN__V1__LIMIT_VERDICT__INIT;
    char policy[] = "tier-free", error[] = "client must be an IPv4 or IPv6 address";

    expect_as_protobuf_c(&verdict); // nothing in it: no bytes
    verdict.error = error;
    expect_as_protobuf_c(&verdict);
    verdict = (Valvechain__V1__LimitVerdict)VALVECHAIN__V1__LIMIT_VERDICT__INIT;
    verdict.admitted = true;
    verdict.policy = policy;
    for (unsigned shift = 0; shift < 64; shift++) {
        verdict.limit = UINT64_C(1) << shift;
        verdict.remaining = verdict.limit - 1;
        verdict.reset_ms = verdict.limit + 1;
        verdict.window_ms = verdict.limit << 1;
        verdict.retry_after_ms = ~verdict.limit;
        expect_as_protobuf_c(&verdict);
    }
}

Test(check_wire, the_longest_verdict_has_room)
{
    Valvechain__V1__LimitVerdict verdict = VALVECHAIN__V1__LIMIT_VERDICT__INIT;
    Valvechain__V1__LimitPart part = VALVECHAIN__V1__LIMIT_PART__INIT, *parts[LIMIT_MATCHED_MAX];
    uint8_t token[REFUND_TOKEN_MAX];
    char policy[LIMIT_NAME_MAX], error[CHECK_ERROR_MAX + 1];

    memset(token, 0x5a, sizeof(token));
    memset(policy, 'p', sizeof(policy));
    memset(error, 'e', sizeof(error));
    policy[sizeof(policy) - 1] = error[sizeof(error) - 1] = '\0';
    part.policy = verdict.policy = policy;
    part.denied = part.shadow = verdict.admitted = true;
    part.limit = part.remaining = part.reset_ms = part.window_ms = UINT64_MAX;
    verdict.limit = verdict.remaining = verdict.reset_ms = verdict.window_ms = UINT64_MAX;
    verdict.retry_after_ms = UINT64_MAX;
    verdict.error = error;
    verdict.token = (ProtobufCBinaryData){sizeof(token), token};
    for (size_t i = 0; i < LIMIT_MATCHED_MAX; i++)
        parts[i] = &part;
    verdict.n_parts = LIMIT_MATCHED_MAX;
    verdict.parts = parts;
    expect_as_protobuf_c(&verdict);
}
