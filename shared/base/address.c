#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/parse.h"

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};
static const uint8_t compatible_prefix[12] = {0};
static const uint8_t nat64_prefix[12] = {0x00, 0x64, 0xff, 0x9b}; // RFC 6052, section 2.1

static struct address ipv4(const uint8_t bytes[4])
{
    struct address address = {.family = 4};
    memcpy(address.bytes, bytes, 4);
    return address;
}

static struct address ipv6(const uint8_t bytes[16])
{
    struct address address = {.family = 6};
    if (memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0)
        return ipv4(bytes + 12);
    memcpy(address.bytes, bytes, 16);
    return address;
}

void address_from_sockaddr(const struct sockaddr *sa, struct address *ret_address)
{
    *ret_address = (struct address){0};
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        *ret_address = ipv4((const uint8_t *)&in.sin_addr);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        *ret_address = ipv6(in6.sin6_addr.s6_addr);
    }
}

// Four numbers of 0 to 255 without leading zeros (which some read as octal), three dots. By far the
// most frequent form, and each request and each check has one.
static bool parse_ipv4(const char *text, size_t len, uint8_t bytes[4])
{
    const char *end = text + len;
    for (unsigned i = 0; i < 4; i++) {
        unsigned value = 0, digits = 0;
        for (; text < end && *text >= '0' && *text <= '9' && digits < 3; text++, digits++)
            value = value * 10 + (unsigned)(*text - '0');
        if (digits == 0 || value > 255 || (digits > 1 && text[-(int)digits] == '0'))
            return false;
        bytes[i] = (uint8_t)value;
        if (i < 3 && (text == end || *text++ != '.'))
            return false;
    }
    return text == end;
}

// The bare address, nothing around it.
static int parse_plain(const char *text, size_t len, struct address *ret_address)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    if (parse_ipv4(text, len, bytes)) {
        *ret_address = ipv4(bytes);
        return 0;
    }
    if (len == 0 || len >= sizeof(copy) || memchr(text, '\0', len))
        return -EINVAL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(AF_INET6, copy, bytes) == 1) {
        *ret_address = ipv6(bytes);
        return 0;
    }
    return -EINVAL;
}

// ::1.2.3.4 in a text is how old software writes an IPv4 client; :: and ::1 are themselves. A
// socket's peer is never read so: there it would be a real, forgeable IPv6 address.
static void compatible_to_ipv4(struct address *address)
{
    if (address->family == 6 &&
        memcmp(address->bytes, compatible_prefix, sizeof(compatible_prefix)) == 0 &&
        (address->bytes[12] || address->bytes[13]))
        *address = ipv4(address->bytes + 12);
}

static bool is_port(const char *text, size_t len)
{
    uint64_t port;
    return len <= 5 && parse_u64_n(text, len, 0, 65535, &port) == 0;
}

// Finds the bare address inside its brackets, port and zone.
static int strip_around(const char **text, size_t *len)
{
    const char *start = *text, *end = start + *len;
    const char *first_colon = memchr(start, ':', *len);
    if (*len > 0 && *start == '[') {
        const char *close = memchr(start, ']', *len);
        if (!close || (close + 1 < end &&
                       (close[1] != ':' || !is_port(close + 2, (size_t)(end - close - 2)))))
            return -EINVAL;
        start++;
        end = close;
    } else if (first_colon && !memchr(first_colon + 1, ':', (size_t)(end - first_colon - 1))) {
        if (!is_port(first_colon + 1, (size_t)(end - first_colon - 1)))
            return -EINVAL;
        end = first_colon;
    }
    const char *zone = memchr(start, '%', (size_t)(end - start));
    if (zone) {
        if (zone + 1 == end || !memchr(start, ':', (size_t)(zone - start)))
            return -EINVAL;
        end = zone;
    }
    *text = start;
    *len = (size_t)(end - start);
    return 0;
}

int address_parse(const char *text, size_t len, struct address *ret_address)
{
    struct address address;
    const char *plain = text;
    size_t plain_len = len;
    uint8_t bytes[4];
    if (parse_ipv4(text, len, bytes)) { // nothing around it
        *ret_address = ipv4(bytes);
        return 0;
    }
    if (strip_around(&plain, &plain_len) < 0 || parse_plain(plain, plain_len, &address) < 0)
        return -EINVAL;
    if (*text == '[' && !memchr(plain, ':', plain_len)) // brackets are for IPv6 (RFC 3986)
        return -EINVAL;
    compatible_to_ipv4(&address);
    *ret_address = address;
    return 0;
}

size_t address_format(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
    _Static_assert(ADDRESS_TEXT_MAX >= INET6_ADDRSTRLEN, "room for every address");
    int family = address->family == 4 ? AF_INET : AF_INET6;
    if (address->family == 0)
        strcpy(text, "unknown");
    else
        inet_ntop(family, address->bytes, text, ADDRESS_TEXT_MAX);
    return strlen(text);
}

static unsigned address_bits(const struct address *address)
{
    return address->family == 4 ? 32 : 128;
}

void address_mask(struct address *address, unsigned prefix_bits)
{
    ASSERT(prefix_bits <= address_bits(address));
    for (unsigned i = 0; i < sizeof(address->bytes); i++) {
        unsigned first_bit = i * 8;
        if (prefix_bits <= first_bit)
            address->bytes[i] = 0;
        else if (prefix_bits < first_bit + 8)
            address->bytes[i] &= (uint8_t)(0xff00u >> (prefix_bits - first_bit));
    }
}

unsigned address_client_bits(const struct address *address, unsigned ipv6_prefix_bits)
{
    if (address->family == 6 && memcmp(address->bytes, nat64_prefix, sizeof(nat64_prefix)) != 0)
        return ipv6_prefix_bits;
    return address_bits(address);
}

// Words of a list; a word of several networks has several rows.
static const struct {
    const char *word;
    const char *network; // NULL: none
    uint8_t prefix_bits;
} words[] = {
    {"loopback", "127.0.0.0", 8},
    {"loopback", "::1", 128},
    {"private", "10.0.0.0", 8}, // RFC 1918
    {"private", "172.16.0.0", 12},
    {"private", "192.168.0.0", 16},
    {"private", "169.254.0.0", 16}, // link-local: RFC 3927, RFC 4291
    {"private", "fe80::", 10},
    {"private", "fc00::", 7}, // RFC 4193
    {"all", "0.0.0.0", 0},
    {"all", "::", 0},
    {"none", NULL, 0},
};

static int list_add(struct cidr_list *list, const struct address *network, uint8_t prefix_bits)
{
    struct cidr *items = realloc(list->items, (list->n + 1) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    list->items = items;
    items[list->n] = (struct cidr){.network = *network, .prefix_bits = prefix_bits};
    address_mask(&items[list->n].network, prefix_bits);
    list->n++;
    return 0;
}

// -ENOENT: the item is none of the words.
static int list_add_word(struct cidr_list *list, const char *item, size_t len)
{
    bool found = false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].word) != len || memcmp(words[i].word, item, len) != 0)
            continue;
        found = true;
        if (!words[i].network)
            continue;
        struct address network;
        int r = parse_plain(words[i].network, strlen(words[i].network), &network);
        ASSERT(r == 0);
        r = list_add(list, &network, words[i].prefix_bits);
        if (r < 0)
            return r;
    }
    return found ? 0 : -ENOENT;
}

static int list_add_cidr(struct cidr_list *list, const char *item, size_t len)
{
    const char *slash = memchr(item, '/', len);
    size_t address_len = slash ? (size_t)(slash - item) : len;
    struct address network;
    if (parse_plain(item, address_len, &network) < 0)
        return -EINVAL;
    // ::ffff:10.0.0.0/104 is 10.0.0.0/8
    bool mapped = network.family == 4 && memchr(item, ':', address_len);
    uint64_t least = mapped ? 96 : 0, bits = address_bits(&network) + least;
    if (slash && parse_u64_n(slash + 1, len - address_len - 1, least, bits, &bits) < 0)
        return -EINVAL;
    return list_add(list, &network, (uint8_t)(bits - least));
}

int cidr_list_parse(const char *text, struct cidr_list *ret_list, const char **ret_bad)
{
    struct cidr_list list = {0};
    const char *cursor = text, *item;
    size_t len;
    while (parse_list_next(&cursor, &item, &len)) {
        int r = list_add_word(&list, item, len);
        if (r == -ENOENT)
            r = list_add_cidr(&list, item, len);
        if (r < 0) {
            cidr_list_fini(&list);
            if (r == -EINVAL && ret_bad)
                *ret_bad = item;
            return r;
        }
    }
    *ret_list = list;
    return 0;
}

void cidr_list_fini(struct cidr_list *list)
{
    free(list->items);
    *list = (struct cidr_list){0};
}

bool cidr_list_has(const struct cidr_list *list, const struct address *address)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct cidr *item = &list->items[i];
        if (item->network.family != address->family)
            continue;
        struct address masked = *address;
        address_mask(&masked, item->prefix_bits);
        if (memcmp(masked.bytes, item->network.bytes, sizeof(masked.bytes)) == 0)
            return true;
    }
    return false;
}
