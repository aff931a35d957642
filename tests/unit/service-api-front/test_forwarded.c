#include <criterion/criterion.h>
#include <string.h>

#include "forwarded.h"

struct fixture {
    struct cidr_list trusted;
    struct address peer;
};

static struct fixture setup(const char *trusted)
{
    struct fixture fixture;
    cr_assert_eq(cidr_list_parse(trusted, &fixture.trusted, NULL), 0);
    cr_assert_eq(address_parse("127.0.0.1", 9, &fixture.peer), 0);
    return fixture;
}

static void expect(bool rfc7239, const char *trusted, const char *values, const char *client,
                   bool known)
{
    struct fixture fixture = setup(trusted);
    struct address found;
    bool is_known = rfc7239
                        ? forwarded_client_rfc7239(&fixture.peer, values, &fixture.trusted, &found)
                        : forwarded_client_xff(&fixture.peer, values, &fixture.trusted, &found);
    char text[ADDRESS_TEXT_MAX];
    address_format(&found, text);
    cr_expect_str_eq(text, client, "%s: %s instead of %s", values, text, client);
    cr_expect_eq(is_known, known, "%s", values);
    cidr_list_fini(&fixture.trusted);
}

Test(forwarded, xff_is_read_from_the_right)
{
    expect(false, "loopback", "203.0.113.9", "203.0.113.9", true);
    expect(false, "loopback", "1.1.1.1, 203.0.113.9", "203.0.113.9", true);
    expect(false, "loopback,10.0.0.0/8", "6.6.6.6, 203.0.113.9, 10.0.0.2, 10.0.0.1", "203.0.113.9",
           true);
    expect(false, "loopback,10.0.0.0/8", "10.0.0.3,10.0.0.2", "10.0.0.3", true);
    expect(false, "loopback", "2001:db8::7", "2001:db8::7", true);
    expect(false, "loopback", "203.0.113.9:4711", "203.0.113.9", true);
    expect(false, "loopback", "::ffff:203.0.113.9", "203.0.113.9", true);
}

Test(forwarded, xff_empty_elements_count_for_nothing)
{
    expect(false, "loopback", "203.0.113.9, ,, ", "203.0.113.9", true);
    expect(false, "loopback", "", "127.0.0.1", true);
}

Test(forwarded, garbage_ends_the_walk_and_is_told)
{
    expect(false, "loopback", "203.0.113.9, unknown", "127.0.0.1", false);
    expect(false, "loopback,10.0.0.0/8", "203.0.113.9, bad, 10.0.0.1", "10.0.0.1", false);
    expect(false, "loopback", "999.1.1.1", "127.0.0.1", false);
    // Left of the client nobody looks.
    expect(false, "loopback", "garbage, 203.0.113.9", "203.0.113.9", true);
}

Test(forwarded, an_untrusted_peer_is_the_client)
{
    expect(false, "none", "203.0.113.9", "127.0.0.1", true);
}

Test(forwarded, a_long_chain_keeps_its_right_end)
{
    char values[8192] = "";
    for (int i = 0; i < 400; i++)
        strcat(values, "6.6.6.6,");
    strcat(values, "203.0.113.9");
    expect(false, "loopback", values, "203.0.113.9", true);
}

Test(forwarded, rfc7239_forms)
{
    expect(true, "loopback", "for=192.0.2.43", "192.0.2.43", true);
    expect(true, "loopback", "For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17", true);
    expect(true, "loopback", "for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60", true);
    expect(true, "loopback", "proto=http; for=192.0.2.60", "192.0.2.60", true);
    expect(true, "loopback,198.51.100.0/24", "for=6.6.6.6, for=192.0.2.43, for=198.51.100.17",
           "192.0.2.43", true);
    expect(true, "loopback", "for=unknown", "127.0.0.1", false);
    expect(true, "loopback", "for=_hidden", "127.0.0.1", false);
    expect(true, "loopback", "proto=https", "127.0.0.1", false);
    expect(true, "loopback", "by=\"a,b\";for=192.0.2.1", "192.0.2.1", true);
}

Test(forwarded, an_open_quote_swallows_nothing)
{
    expect(true, "loopback", "for=\"6.6.6.6, for=192.0.2.43", "192.0.2.43", true);
    expect(true, "loopback", "for=\"6.6.6.6\\, for=\"[2001:db8::1]\"", "2001:db8::1", true);
}

static void expect_both(const char *trusted, const char *xff, const char *rfc7239,
                        const char *client, enum forwarded_both both)
{
    struct fixture fixture = setup(trusted);
    struct address found;
    enum forwarded_both got =
        forwarded_client_both(&fixture.peer, xff, rfc7239, &fixture.trusted, &found);
    char text[ADDRESS_TEXT_MAX];
    address_format(&found, text);
    cr_expect_str_eq(text, client, "%s / %s: %s instead of %s", xff, rfc7239, text, client);
    cr_expect_eq(got, both, "%s / %s", xff, rfc7239);
    cidr_list_fini(&fixture.trusted);
}

Test(forwarded, both_fields_must_name_one_client)
{
    expect_both("loopback", "203.0.113.9", "for=203.0.113.9", "203.0.113.9", FORWARDED_BOTH_KNOWN);
    expect_both("loopback", "6.6.6.6, 203.0.113.9", "for=203.0.113.9", "203.0.113.9",
                FORWARDED_BOTH_KNOWN);
    // Either may be the one that the client wrote.
    expect_both("loopback", "203.0.113.9", "for=6.6.6.6", "127.0.0.1", FORWARDED_BOTH_DIFFER);
    expect_both("loopback", "6.6.6.6", "for=203.0.113.9", "127.0.0.1", FORWARDED_BOTH_DIFFER);
    expect_both("loopback", "203.0.113.9", "for=unknown", "127.0.0.1", FORWARDED_BOTH_DIFFER);
    expect_both("loopback", "unknown", "for=unknown", "127.0.0.1", FORWARDED_BOTH_UNCERTAIN);
}

Test(forwarded, a_list_that_ends_at_our_own_proxy_contradicts_nobody)
{
    // The first proxy writes X-Forwarded-For only, the second both, and the other way round.
    const char *trusted = "loopback,10.0.0.0/8";
    expect_both(trusted, "203.0.113.9, 10.0.0.1", "for=10.0.0.1", "203.0.113.9",
                FORWARDED_BOTH_KNOWN);
    expect_both(trusted, "10.0.0.1", "for=203.0.113.9, for=10.0.0.1", "203.0.113.9",
                FORWARDED_BOTH_KNOWN);
    expect_both(trusted, "10.0.0.2", "for=10.0.0.1", "127.0.0.1", FORWARDED_BOTH_DIFFER);
    expect_both(trusted, "203.0.113.9", "", "203.0.113.9", FORWARDED_BOTH_KNOWN);
}
