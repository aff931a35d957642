#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/address.h"

static struct address parsed(const char *text)
{
    struct address address;
    cr_assert_eq(address_parse(text, strlen(text), &address), 0, "'%s'", text);
    return address;
}

static void expect_text(const char *text, const char *canonical)
{
    char got[ADDRESS_TEXT_MAX];
    struct address address = parsed(text);
    cr_expect_eq(address_format(&address, got), strlen(canonical));
    cr_expect_str_eq(got, canonical, "'%s' gave '%s'", text, got);
}

// The key of a client as rate limiters write it: the address, with its prefix if it is IPv6.
static void expect_key(const char *text, unsigned ipv6_bits, const char *key)
{
    char got[ADDRESS_TEXT_MAX + 8];
    struct address address = parsed(text);
    address_mask(&address, address.family == 4 ? 32 : ipv6_bits);
    size_t n = address_format(&address, got);
    if (address.family == 6)
        snprintf(got + n, sizeof(got) - n, "/%u", ipv6_bits);
    cr_expect_str_eq(got, key, "'%s' gave '%s'", text, got);
}

Test(address, client_keys)
{
    expect_key("1.2.3.4", 56, "1.2.3.4");
    expect_key("::ffff:1.2.3.4", 56, "1.2.3.4");
    expect_key("::1.2.3.4", 56, "1.2.3.4");
    expect_key("::ffff:102:304", 56, "1.2.3.4");
    expect_key("::ffff:102:304", 16, "1.2.3.4");
    expect_key("2001:db8:1234:5678::1.2.3.4", 56, "2001:db8:1234:5600::/56");
    expect_key("64:ff9b::1.2.3.4", 56, "64:ff9b::/56");
    expect_key("::1", 56, "::/56");
    expect_key("0123:4567:89ab:cdef:0:1:2:3", 56, "123:4567:89ab:cd00::/56");
    expect_key("0123:4567:89ab:cdef:0:1:2:3", 63, "123:4567:89ab:cdee::/63");
    expect_key("0123:4567:89ab:cdef:1:2:3:4", 128, "123:4567:89ab:cdef:1:2:3:4/128");
}

Test(address, bits_that_tell_clients_apart)
{
    struct address nat64 = parsed("64:ff9b::1.2.3.4"), six = parsed("2001:db8::1"),
                   four = parsed("1.2.3.4");
    cr_expect_eq(address_client_bits(&four, 56), 32);
    cr_expect_eq(address_client_bits(&six, 56), 56);
    cr_expect_eq(address_client_bits(&nat64, 56), 128, "each NAT64 client is its own");
}

Test(address, canonical_text)
{
    expect_text("2001:0DB8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"); // RFC 5952, 4.2.3
    expect_text("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");                 // 4.2.2
    expect_text("2001:0:0:1:0:0:0:1", "2001:0:0:1::1");
    expect_text("2001:DB8::ABCD", "2001:db8::abcd");
    expect_text("::", "::");
    expect_text("::1", "::1");
    expect_text("127.0.0.1", "127.0.0.1");
    struct address unknown = {0};
    char text[ADDRESS_TEXT_MAX];
    cr_expect_eq(address_format(&unknown, text), 7);
    cr_expect_str_eq(text, "unknown");
}

Test(address, what_forwarding_headers_carry)
{
    expect_text("1.2.3.4:5678", "1.2.3.4");
    expect_text("[2001:db8::1]", "2001:db8::1");
    expect_text("[2001:db8::1]:443", "2001:db8::1");
    expect_text("[::ffff:10.0.0.1]:0", "10.0.0.1");
    expect_text("fe80::1%eth0", "fe80::1");
    expect_text("[fe80::1%25eth0]:80", "fe80::1");
    const char *const bad[] = {"",           " ",          "1.2.3",         "1.2.3.4.5",
                               "01.2.3.4",   "1.2.3.256",  "1.2.3.4:",      "1.2.3.4:65536",
                               "1.2.3.4:-1", "1.2.3.4%lo", "[1.2.3.4]",     "[1.2.3.4]:80",
                               "[::1",       "::1]",       "[::1]x",        "[::1]:",
                               "[]",         "[]:80",      ":80",           "1::2::3",
                               "12345::",    "::1%",       "[::1]:123456",  " 1.2.3.4",
                               "1.2.3.4 ",   "localhost",  "unknown",       "_hidden",
                               "1.2.3.4/8",  ":",          "1:2:3:4:5:6:7", "[[::1]]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct address address = {.family = 99};
        cr_expect_eq(address_parse(bad[i], strlen(bad[i]), &address), -EINVAL, "'%s'", bad[i]);
        cr_expect_eq(address.family, 99, "the output stays untouched");
    }
    struct address address;
    cr_expect_eq(address_parse("1.2.3.4\0x", 9, &address), -EINVAL);
    cr_expect_eq(address_parse("1.2.3.45", 7, &address), 0, "only the given length is read");
    cr_expect_eq(address.bytes[3], 4);
}

Test(address, from_a_socket)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct address got, expected = parsed("10.1.2.3");
    in.sin_addr.s_addr = htonl(0x0a010203);
    address_from_sockaddr((struct sockaddr *)&in, &got);
    cr_expect_eq(memcmp(&got, &expected, sizeof(got)), 0);
    inet_pton(AF_INET6, "::ffff:10.1.2.3", &in6.sin6_addr);
    address_from_sockaddr((struct sockaddr *)&in6, &got);
    cr_expect_eq(memcmp(&got, &expected, sizeof(got)), 0);
    inet_pton(AF_INET6, "::127.0.0.1", &in6.sin6_addr);
    address_from_sockaddr((struct sockaddr *)&in6, &got);
    cr_expect_eq(got.family, 6, "no peer becomes loopback by an IPv4-compatible address");
    address_from_sockaddr((struct sockaddr *)&un, &got);
    cr_expect_eq(got.family, 0);
}

Test(address, mask_every_prefix)
{
    struct address all = {.family = 6};
    memset(all.bytes, 0xff, 16);
    for (unsigned bits = 0; bits <= 128; bits++) {
        struct address masked = all;
        unsigned ones = 0;
        address_mask(&masked, bits);
        for (int i = 0; i < 16; i++)
            ones += (unsigned)__builtin_popcount(masked.bytes[i]);
        cr_assert_eq(ones, bits);
        if (bits > 0 && bits < 128) {
            cr_assert(masked.bytes[(bits - 1) / 8] >> (7 - (bits - 1) % 8) & 1);
            cr_assert_not(masked.bytes[bits / 8] >> (7 - bits % 8) & 1);
        }
    }
}

static bool list_has(const char *list_text, const char *address_text)
{
    struct cidr_list list;
    struct address address = parsed(address_text);
    cr_assert_eq(cidr_list_parse(list_text, &list, NULL), 0, "'%s'", list_text);
    bool has = cidr_list_has(&list, &address);
    cidr_list_fini(&list);
    return has;
}

Test(cidr, words)
{
    cr_expect(list_has("loopback", "127.0.0.1"));
    cr_expect(list_has("loopback", "127.9.9.9"));
    cr_expect(list_has("loopback", "::1"));
    cr_expect(list_has("loopback", "::ffff:127.0.0.1"));
    cr_expect_not(list_has("loopback", "128.0.0.1"));
    cr_expect_not(list_has("loopback", "::2"));
    const char *const private[] = {"10.255.0.1",    "172.16.0.1", "172.31.255.255", "192.168.7.7",
                                   "169.254.10.10", "fe80::1",    "febf::1",        "fd12::1"};
    const char *const public[] = {"11.0.0.1",    "172.15.0.1", "172.32.0.1", "192.169.0.1",
                                  "169.253.0.1", "fec0::1",    "fe00::1",    "127.0.0.1"};
    for (size_t i = 0; i < 8; i++) {
        cr_expect(list_has("private", private[i]), "%s", private[i]);
        cr_expect_not(list_has("private", public[i]), "%s", public[i]);
    }
    cr_expect(list_has("all", "8.8.8.8"));
    cr_expect(list_has("all", "2001:db8::1"));
    cr_expect_not(list_has("none", "127.0.0.1"));
    cr_expect_not(list_has("", "127.0.0.1"));
    cr_expect(list_has("none, loopback", "127.0.0.1"));
}

Test(cidr, blocks)
{
    cr_expect(list_has("192.0.2.7", "192.0.2.7"));
    cr_expect_not(list_has("192.0.2.7", "192.0.2.6"));
    cr_expect(list_has("192.0.2.77/25", "192.0.2.1"));
    cr_expect_not(list_has("192.0.2.77/25", "192.0.2.128"));
    cr_expect(list_has("1.1.1.1, 2001:db8::/33", "2001:db8:7fff::1"));
    cr_expect_not(list_has("1.1.1.1, 2001:db8::/33", "2001:db8:8000::1"));
    cr_expect(list_has("::ffff:10.0.0.0/104", "10.1.2.3"));
    cr_expect(list_has("0.0.0.0/0", "9.9.9.9"));
    cr_expect_not(list_has("0.0.0.0/0", "::1"));
    struct cidr_list all;
    struct address unknown = {0};
    cr_assert_eq(cidr_list_parse("all", &all, NULL), 0);
    cr_expect_not(cidr_list_has(&all, &unknown));
    cidr_list_fini(&all);
}

Test(cidr, names_the_bad_item)
{
    const char *const bad[] = {"1.2.3.4/33",         "::1/129", "1.2.3.4/", "1.2.3.4/x",
                               "1.2.3.4/-1",         "loop",    "Loopback", "10.0.0.0:80",
                               "::ffff:10.0.0.0/95", "[::1]",   "/8",       "1.2.3.4/8/8"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        const char *at = NULL;
        struct cidr_list list = {.n = 99};
        snprintf(text, sizeof(text), "loopback, %s ,10.0.0.0/8", bad[i]);
        cr_expect_eq(cidr_list_parse(text, &list, &at), -EINVAL, "'%s'", bad[i]);
        cr_expect_eq(at, text + 10, "'%s'", bad[i]);
        cr_expect_eq(list.n, 99);
    }
}
