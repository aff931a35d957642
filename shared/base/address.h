// Client addresses and CIDR blocks. An IPv4-mapped IPv6 address (::ffff:1.2.3.4) is the IPv4
// address. Thread: any.
#ifndef VALVECHAIN_BASE_ADDRESS_H
#define VALVECHAIN_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
    uint8_t family;    // 4 or 6; 0: unknown (for instance a Unix socket's peer)
    uint8_t bytes[16]; // network order; IPv4 uses the first four, the rest is zero
};

#define ADDRESS_TEXT_MAX 48

void address_from_sockaddr(const struct sockaddr *sa, struct address *ret_address);
// "1.2.3.4", "2001:db8::1", with or without [brackets], and with a :port or zone to be dropped, as
// X-Forwarded-For and Forwarded carry them. ::1.2.3.4 is read as 1.2.3.4, too. -EINVAL otherwise.
int address_parse(const char *text, size_t len, struct address *ret_address);
// Writes the canonical text (RFC 5952) and returns its length; "unknown" for family 0.
size_t address_format(const struct address *address, char text[ADDRESS_TEXT_MAX]);
// Zeroes the bits behind the prefix (0..32 or 0..128 by family).
void address_mask(struct address *address, unsigned prefix_bits);
// How many bits tell one client from another: all of an IPv4 address, all of a NAT64 address
// (64:ff9b::/96 holds an IPv4 client, RFC 6052), `ipv6_prefix_bits` of another IPv6 address.
unsigned address_client_bits(const struct address *address, unsigned ipv6_prefix_bits);

struct cidr {
    struct address network;
    uint8_t prefix_bits;
};
struct cidr_list {
    struct cidr *items;
    size_t n;
};
// A comma-separated list of addresses, CIDR blocks and the words `loopback`, `private`, `all`,
// `none` (`private`: RFC 1918, RFC 4193 and link-local). Bits behind a prefix are ignored.
// -EINVAL: *ret_bad (may be NULL) points at the first bad item inside `text`. -ENOMEM.
int cidr_list_parse(const char *text, struct cidr_list *ret_list, const char **ret_bad);
void cidr_list_fini(struct cidr_list *list);
// An address of family 0 is in no list.
bool cidr_list_has(const struct cidr_list *list, const struct address *address);

#endif
