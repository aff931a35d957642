#include "redis_place.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PORT_REDIS    6379
#define PORT_SENTINEL 26379
#define DB_MAX        65535

static const char forms[] =
    "allowed are redis://[USER[:PASSWORD]@]HOST[:PORT][/DB] and "
    "redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...]/MASTER[/DB]";

struct text { // a piece of the URL
    const char *at;
    size_t len;
};

// What stands before the first `mark`; the rest, without it, stays in `rest`. Without
// the mark: all of it.
static struct text cut(struct text *rest, char mark)
{
    const char *end = memchr(rest->at, mark, rest->len);
    struct text head = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
    size_t gone = head.len + (end != NULL);
    *rest = (struct text){rest->at + gone, rest->len - gone};
    return head;
}

static bool copy(struct text from, char to[REDIS_TEXT_MAX])
{
    if (from.len >= REDIS_TEXT_MAX) {
        return false;
    }
    memcpy(to, from.at, from.len);
    to[from.len] = '\0';
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

static bool copy_unescaped(struct text from, char to[REDIS_TEXT_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < from.len; i++, n++) {
        char c = from.at[i];
        if (n + 1 >= REDIS_TEXT_MAX) {
            return false;
        }
        if (c == '%') {
            if (i + 2 >= from.len || hex(from.at[i + 1]) < 0 || hex(from.at[i + 2]) < 0) {
                return false;
            }
            c = (char)(hex(from.at[i + 1]) << 4 | hex(from.at[i + 2]));
            i += 2;
        }
        if (c == '\0') {
            return false;
        }
        to[n] = c;
    }
    to[n] = '\0';
    return true;
}

static bool parse_number(struct text digits, unsigned max, unsigned *ret_number)
{
    unsigned long number = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9' || number > max) {
            return false;
        }
        number = number * 10 + (unsigned long)(digits.at[i] - '0');
    }
    if (digits.len == 0 || number > max) {
        return false;
    }
    *ret_number = (unsigned)number;
    return true;
}

// HOST[:PORT]; an IPv6 address in brackets.
static bool parse_host(struct text text, unsigned port, struct redis_host *ret_host)
{
    struct text name;
    if (text.len > 0 && text.at[0] == '[') {
        text = (struct text){text.at + 1, text.len - 1};
        if (!memchr(text.at, ']', text.len)) {
            return false;
        }
        name = cut(&text, ']');
        if (text.len > 0 && text.at[0] != ':') {
            return false;
        }
        text = text.len > 0 ? (struct text){text.at + 1, text.len - 1} : (struct text){NULL, 0};
    } else {
        bool has_port = text.len > 0 && memchr(text.at, ':', text.len) != NULL;
        name = cut(&text, ':');
        text.at = has_port ? text.at : NULL;
    }
    if (name.len == 0 || !copy(name, ret_host->name) ||
        (text.at && (!parse_number(text, UINT16_MAX, &port) || port == 0))) {
        return false;
    }
    ret_host->port = (uint16_t)port;
    return true;
}

static const char *parse_credentials(struct text *rest, struct redis_place *place)
{
    const char *at = memrchr(rest->at, '@', rest->len);
    if (!at) {
        return NULL;
    }
    struct text user = {rest->at, (size_t)(at - rest->at)};
    *rest = (struct text){at + 1, rest->len - user.len - 1};
    bool has_password = memchr(user.at, ':', user.len) != NULL;
    struct text password = user;
    user = cut(&password, ':');
    if ((user.len > 0 && !copy_unescaped(user, place->user)) ||
        (has_password && !copy_unescaped(password, place->password))) {
        return "its user or password is too long or wrongly escaped";
    }
    return NULL;
}

static const char *parse_url(const char *url, struct redis_place *place)
{
    static const char plain[] = "redis://", sentinel[] = "redis+sentinel://";
    bool by_sentinel = strncmp(url, sentinel, sizeof(sentinel) - 1) == 0;
    if (strncmp(url, "rediss://", strlen("rediss://")) == 0) {
        return "this build has no TLS to Redis (Debian 12's hiredis has none): put a TLS tunnel "
               "(stunnel, or HAProxy) beside it and name the tunnel's end";
    }
    if (!by_sentinel && strncmp(url, plain, sizeof(plain) - 1) != 0) {
        return "it has another scheme";
    }
    url += by_sentinel ? sizeof(sentinel) - 1 : sizeof(plain) - 1;
    struct text rest = {url, strlen(url)};
    const char *wrong = parse_credentials(&rest, place);
    if (wrong) {
        return wrong;
    }
    struct text hosts = cut(&rest, '/');
    place->n_hosts = 0;
    do {
        struct text host = by_sentinel ? cut(&hosts, ',') : hosts;
        hosts.len = by_sentinel ? hosts.len : 0;
        if (place->n_hosts == REDIS_HOSTS_MAX) {
            return "it names more than 8 sentinels";
        }
        if (!parse_host(host, by_sentinel ? PORT_SENTINEL : PORT_REDIS,
                        &place->hosts[place->n_hosts++])) {
            return "it names no host, or no port from 1 to 65535";
        }
    } while (hosts.len > 0);
    if (by_sentinel) {
        struct text master = cut(&rest, '/');
        if (master.len == 0 || !copy(master, place->master)) {
            return "it does not name the master that the sentinels watch";
        }
    }
    if (rest.len > 0 && !parse_number(rest, DB_MAX, &place->db)) {
        return "its database is no number from 0 to 65535";
    }
    return NULL;
}

int redis_place_parse(const struct limits_params *params, struct problems *problems,
                      struct redis_place *ret_place)
{
    struct redis_place place = {.n_hosts = 1, .db = (unsigned)params->redis_db};
    const struct {
        const char *name, *value;
        char *to;
    } texts[] = {
        {"REDIS_HOST", params->redis_host, place.hosts[0].name},
        {"REDIS_USERNAME", params->redis_username, place.user},
        {"REDIS_PASSWORD", params->redis_password, place.password},
        {"REDIS_SENTINEL_PASSWORD", params->redis_sentinel_password, place.sentinel_password}};
    int result = 0;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!copy((struct text){texts[i].value, strlen(texts[i].value)}, texts[i].to)) {
            problems_add(problems, "%s: too long, at most %d bytes", texts[i].name,
                         REDIS_TEXT_MAX - 1);
            result = -EINVAL;
        }
    }
    place.hosts[0].port = (uint16_t)params->redis_port;
    const char *wrong = params->redis_url[0] ? parse_url(params->redis_url, &place) : NULL;
    if (wrong) { // without the URL itself: it may hold a password
        problems_add(problems, "REDIS_URL: %s; %s", wrong, forms);
        result = -EINVAL;
    }
    if (result == 0 && place.user[0] && !place.password[0]) {
        problems_add(problems, "REDIS_USERNAME: there is no password (REDIS_PASSWORD) for it");
        result = -EINVAL;
    }
    if (result == 0) {
        *ret_place = place;
    }
    return result;
}
