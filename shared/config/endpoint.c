// The URL of an upstream (RFC 3986), as far as an upstream may have one.
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/parse.h"
#include "config/model.h"

const char *const config_probe_kind_names[CONFIG_PROBE_KINDS] = {
    "off", "http", "https", "tcp", "redis", "postgres", "smtp"};

#define ALLOWED "allowed " CONFIG_URL_ALLOWED

static const char why_form[] = "is no URL of an upstream, " ALLOWED;
static const char why_user[] = "names and passwords do not belong into it, " ALLOWED;
static const char why_host[] = "the host is neither a name nor an address, " ALLOWED;
static const char why_port[] = "the port is out of range, allowed 1 to 65535";
static const char why_path[] = "the path must be plain: without '//', dot segments, '?', '#', '%' "
                               "and blanks";
static const char why_mail_path[] = "smtp:// and smtps:// have no path";
static const char why_socket[] =
    "the socket must be an absolute path of at most 107 bytes, " ALLOWED;

static bool is_host_name(const char *host, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr("._-", host[i]))
            return false;
    return len >= 1 && len <= 253 && host[0] != '.' && host[0] != '-';
}

static bool is_ipv6(const char *host, size_t len)
{
    struct address address;
    return len < ADDRESS_TEXT_MAX && memchr(host, ':', len) && !memchr(host, '%', len) &&
           address_parse(host, len, &address) == 0;
}

// Splits HOST[:PORT] with IPv6 in brackets; NULL or why not. `port`: when none is there.
static const char *parse_authority(const char *text, size_t len, uint64_t port,
                                   const char **ret_host, size_t *ret_host_len, uint16_t *ret_port)
{
    const char *host = text, *end = text + len, *host_end;
    if (memchr(text, '@', len))
        return why_user;
    if (len > 0 && *text == '[') {
        host = text + 1;
        host_end = memchr(text, ']', len);
        if (!host_end || !is_ipv6(host, (size_t)(host_end - host)))
            return why_host;
        text = host_end + 1;
    } else {
        host_end = memchr(text, ':', len);
        if (!host_end)
            host_end = end;
        if (!is_host_name(host, (size_t)(host_end - host)))
            return why_host;
        text = host_end;
    }
    if (text < end &&
        (*text != ':' || parse_u64_n(text + 1, (size_t)(end - text - 1), 1, 65535, &port) < 0))
        return why_port;
    *ret_host = host;
    *ret_host_len = (size_t)(host_end - host);
    *ret_port = (uint16_t)port;
    return NULL;
}

static char *lower_copy(const char *text, size_t len)
{
    char *copy = strndup(text, len);
    for (char *p = copy; p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return copy;
}

static int parse_http(const char *text, bool tls, struct config_endpoint *ret_endpoint,
                      char **ret_base_path, const char **ret_why)
{
    const char *host, *path = text + strcspn(text, "/?#\\");
    size_t host_len, path_len = strlen(path);
    uint16_t port;
    *ret_why =
        parse_authority(text, (size_t)(path - text), tls ? 443 : 80, &host, &host_len, &port);
    if (!*ret_why && path_len > 0 && !param_is_url_path(path))
        *ret_why = why_path;
    if (*ret_why)
        return -EINVAL;
    if (path_len > 0 && path[path_len - 1] == '/') // http://app/v1/ is http://app/v1
        path_len--;
    char *base_path = strndup(path, path_len), *host_copy = lower_copy(host, host_len);
    if (!base_path || !host_copy) {
        free(base_path);
        free(host_copy);
        return -ENOMEM;
    }
    *ret_endpoint = (struct config_endpoint){.host = host_copy, .port = port, .tls = tls};
    *ret_base_path = base_path;
    return 0;
}

// The ports of RFC 5321 and RFC 8314; submission (587) is to be named.
static int parse_smtp(const char *text, bool tls, struct config_endpoint *ret_endpoint,
                      char **ret_base_path, const char **ret_why)
{
    const char *host;
    size_t host_len, len = strcspn(text, "/?#\\");
    uint16_t port;
    *ret_why = parse_authority(text, len, tls ? 465 : 25, &host, &host_len, &port);
    if (!*ret_why && text[len] != '\0' && strcmp(text + len, "/") != 0)
        *ret_why = why_mail_path;
    if (*ret_why)
        return -EINVAL;
    char *base_path = strdup(""), *host_copy = lower_copy(host, host_len);
    if (!base_path || !host_copy) {
        free(base_path);
        free(host_copy);
        return -ENOMEM;
    }
    *ret_endpoint =
        (struct config_endpoint){.host = host_copy, .port = port, .tls = tls, .smtp = true};
    *ret_base_path = base_path;
    return 0;
}

static int parse_unix(const char *text, struct config_endpoint *ret_endpoint, char **ret_base_path,
                      const char **ret_why)
{
    const char *path = strncmp(text, "///", 3) == 0 ? text + 2 : text; // unix:///run/app.sock
    if (path[0] != '/' || path[1] == '\0' ||
        strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        *ret_why = why_socket;
        return -EINVAL;
    }
    char *base_path = strdup(""), *path_copy = strdup(path);
    if (!base_path || !path_copy) {
        free(base_path);
        free(path_copy);
        return -ENOMEM;
    }
    *ret_endpoint = (struct config_endpoint){.unix_path = path_copy};
    *ret_base_path = base_path;
    return 0;
}

int config_endpoint_parse(const char *url, struct config_endpoint *ret_endpoint,
                          char **ret_base_path, const char **ret_why)
{
    if (strncasecmp(url, "http://", 7) == 0)
        return parse_http(url + 7, false, ret_endpoint, ret_base_path, ret_why);
    if (strncasecmp(url, "https://", 8) == 0)
        return parse_http(url + 8, true, ret_endpoint, ret_base_path, ret_why);
    if (strncasecmp(url, "smtp://", 7) == 0)
        return parse_smtp(url + 7, false, ret_endpoint, ret_base_path, ret_why);
    if (strncasecmp(url, "smtps://", 8) == 0)
        return parse_smtp(url + 8, true, ret_endpoint, ret_base_path, ret_why);
    if (strncasecmp(url, "unix:", 5) == 0)
        return parse_unix(url + 5, ret_endpoint, ret_base_path, ret_why);
    *ret_why = why_form;
    return -EINVAL;
}

const char *config_endpoint_scheme(const struct config_endpoint *endpoint)
{
    static const char *const schemes[2][2] = {{"http", "https"}, {"smtp", "smtps"}};
    return schemes[endpoint->smtp][endpoint->tls];
}

void config_endpoint_format(const struct config_endpoint *endpoint,
                            char ret_text[CONFIG_ENDPOINT_TEXT_MAX])
{
    if (endpoint->unix_path) {
        snprintf(ret_text, CONFIG_ENDPOINT_TEXT_MAX, "unix:%s", endpoint->unix_path);
        return;
    }
    bool v6 = strchr(endpoint->host, ':') != NULL;
    snprintf(ret_text, CONFIG_ENDPOINT_TEXT_MAX, "%s://%s%.255s%s:%u",
             config_endpoint_scheme(endpoint), v6 ? "[" : "", endpoint->host, v6 ? "]" : "",
             (unsigned)endpoint->port);
}
