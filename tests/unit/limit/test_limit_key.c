// Keys as operators and the configuration file write them.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "limit/key.h"
#include "limit/limit_key.h"

static struct limit_key key_of(const char *text)
{
    struct limit_key key;
    const char *wrong = limit_key_read(text, &key);
    cr_assert_null(wrong, "%s: %s", text, wrong);
    cr_expect(limit_key_is_sound(&key), "%s", text);
    return key;
}

static bool header_is(const struct limit_facts *facts, const char *name, const char *wanted)
{
    size_t len = 0;
    const char *value = facts->header(facts->header_arg, name, &len);
    return value && len == strlen(wanted) && memcmp(value, wanted, len) == 0;
}

Test(limit_key, is_read_by_kind)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "alice",
                                      "subject:",
                                      "subject",
                                      "client:x",
                                      "mail:a@b",
                                      "client:1.2.3.4 client:1.2.3.5",
                                      "client:1.2.3.4 mail:a@b",
                                      "header:x-a",
                                      "header:=1",
                                      "header:x-a=",
                                      "header:a=1 header:b=2 header:c=3"};
    struct limit_key key = key_of("route:r  client:192.0.2.7 subject:a:b c header:X-Team=t=1 ");
    struct limit_facts facts;
    limit_key_facts(&key, &facts);
    cr_expect_eq(key.parts,
                 LIMIT_KEY_CLIENT | LIMIT_KEY_SUBJECT | LIMIT_KEY_ROUTE | LIMIT_KEY_HEADERS);
    cr_expect_str_eq(facts.subject, "a:b c");
    cr_expect_eq(facts.subject_len, 5);
    cr_expect_str_eq(facts.route, "r");
    cr_expect(header_is(&facts, "x-team", "t=1"));
    cr_expect_not(header_is(&facts, "x-tea", "t=1"));
    cr_expect_null(facts.api_key);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not_null(limit_key_read(bad[i], &key), "'%s'", bad[i]);
    cr_expect_str_eq(facts.subject, "a:b c", "untouched by what was refused");
}

Test(limit_key, is_the_same_in_any_order)
{
    struct limit_key a = key_of("subject:a header:b=2 header:a=1 client:1.2.3.4");
    struct limit_key b = key_of("client:1.2.3.4 header:A=1 subject:a header:B=2");
    struct limit_key c = key_of("client:1.2.3.4 header:A=2 subject:a header:B=1");
    cr_expect(limit_key_is_same(&a, &b));
    cr_expect_not(limit_key_is_same(&a, &c));
}

Test(limit_key, has_room_for_so_much_and_no_more)
{
    char text[700];
    struct limit_key key;
    (void)snprintf(text, sizeof(text), "subject:%0503d", 7); // 511 bytes
    cr_expect_null(limit_key_read(text, &key));
    (void)snprintf(text, sizeof(text), "subject:%0504d", 7);
    cr_expect_not_null(limit_key_read(text, &key));
    const struct limit_key_text parts[] = {{.part = LIMIT_KEY_SUBJECT, .value = text},
                                           {.part = LIMIT_KEY_ROUTE, .value = "r"}};
    cr_expect_not_null(limit_key_make(parts, 2, &key), "too long in all");
}

Test(limit_key, that_is_damaged_is_not_sound)
{
    struct limit_key key = key_of("subject:a");
    memset(key.texts, 'x', sizeof(key.texts));
    cr_expect_not(limit_key_is_sound(&key));
    key = key_of("header:a=1");
    key.n_headers = 3;
    cr_expect_not(limit_key_is_sound(&key));
    key = key_of("client:1.2.3.4");
    key.parts |= LIMIT_KEY_CALLER;
    cr_expect_not(limit_key_is_sound(&key));
    key.parts = 0;
    cr_expect_not(limit_key_is_sound(&key));
}

Test(limit_key, fits_policies_that_count_by_it_and_nothing_else)
{
    struct limit_policy policy = {.key_parts = LIMIT_KEY_CALLER};
    struct limit_key client = key_of("client:192.0.2.7"), key = key_of("api-key:abc");
    struct limit_key both = key_of("client:192.0.2.7 api-key:abc");
    struct limit_key team = key_of("client:192.0.2.7 header:x-team=1");
    cr_expect(limit_key_fits(&client, &policy));
    cr_expect(limit_key_fits(&key, &policy));
    cr_expect_not(limit_key_fits(&both, &policy));
    policy.key_parts = LIMIT_KEY_CLIENT | LIMIT_KEY_API_KEY;
    cr_expect(limit_key_fits(&both, &policy));
    cr_expect_not(limit_key_fits(&client, &policy));
    policy.key_parts = LIMIT_KEY_CALLER | LIMIT_KEY_HEADERS;
    strcpy(policy.key_headers[0], "x-team");
    cr_expect(limit_key_fits(&team, &policy));
    cr_expect_not(limit_key_fits(&client, &policy));
    strcpy(policy.key_headers[0], "x-tea");
    cr_expect_not(limit_key_fits(&team, &policy));
    policy = (struct limit_policy){.key_parts = LIMIT_KEY_CALLER, .unlimited = true};
    cr_expect_not(limit_key_fits(&client, &policy));
}

// What an operator writes must name the key that requests are counted by.
Test(limit_key, is_the_key_that_a_request_has)
{
    static const uint8_t secret[SEGMENT_KEY_BYTES] = {7};
    struct limit_policy policy = {.key_headers = {"x-a", "x-b"}, .ipv6_prefix_bits = 56};
    struct limit_key key = key_of("client:192.0.2.7 subject:al route:r header:x-b=2 header:x-a=1");
    struct limit_key headers = key_of("header:x-a=1 header:x-b=2");
    struct limit_facts named, request;
    limit_key_facts(&key, &named);
    limit_key_facts(&headers, &request); // for its header()
    request.subject = "al";
    request.subject_len = 2;
    request.route = "r";
    cr_assert_eq(address_parse("192.0.2.7", 9, &request.client), 0);
    cr_expect_eq(key_hash(secret, &named, key.parts, &policy),
                 key_hash(secret, &request, key.parts, &policy));
    request.subject = "am";
    cr_expect_neq(key_hash(secret, &named, key.parts, &policy),
                  key_hash(secret, &request, key.parts, &policy));
}
