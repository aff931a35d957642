#include "config/fields.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/strbuf.h"
#include "config/model.h"

static bool is_lower_name(const char *text)
{
    for (const char *p = text; *p; p++)
        if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '-')
            return false;
    return text[0] != '\0';
}

static bool is_host(const char *text)
{
    struct config_endpoint endpoint;
    char *base_path;
    const char *why;
    char url[300];
    if (strchr(text, '/') || (size_t)snprintf(url, sizeof(url), "http://%s", text) >= sizeof(url) ||
        config_endpoint_parse(url, &endpoint, &base_path, &why) < 0)
        return false;
    free(endpoint.host);
    free(base_path);
    return !strchr(text[0] == '[' ? strchr(text, ']') : text, ':'); // no port
}

static bool is_header_value(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            return false;
    return text[0] > 0x20 && text[strlen(text) - 1] > 0x20;
}

static bool is_rpc_method(const char *text)
{
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
            return false;
    return text[0] != '\0';
}

static bool is_header_name(const char *text)
{
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p))
            return false;
    return text[0] != '\0' && strlen(text) <= 63;
}

static bool is_mail_address(const char *text)
{
    const char *at = strrchr(text, '@');
    for (const char *p = text; *p; p++)
        if (*p <= 0x20 || *p > 0x7e || strchr("<>()[]\\,;:\"", *p))
            return false;
    return at && at != text && at[1] != '\0' && strchr(text, '@') == at;
}

static bool is_file_name(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    return text[0] != '\0';
}

static bool is_dns_name(const char *text)
{
    return text[0] != '[' && is_host(text);
}

static bool is_limit_path(const char *text)
{
    return param_is_url_path(text) && strlen(text) <= 127;
}

static bool is_limit_host(const char *text)
{
    return is_host(text) && strlen(text) <= 127;
}

static bool is_key(const char *text)
{
    static const char *const words[] = {"client-address", "subject", "api-key", "route", "caller"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i], text) == 0)
            return true;
    return strncmp(text, "header:", 7) == 0 && is_header_name(text + 7);
}

// A header field, or json: and a JSON pointer (RFC 6901).
static bool is_order(const char *text)
{
    if (strncmp(text, "json:", 5) != 0)
        return is_header_name(text);
    text += 5;
    if (text[0] != '/' || strlen(text) > 127)
        return false;
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text > '~' || (*text == '~' && text[1] != '0' && text[1] != '1'))
            return false;
    return true;
}

static bool is_network(const char *text)
{
    struct cidr_list list = {0};
    const char *bad;
    // The words of a list (private, all, ...) are no networks.
    bool valid =
        strpbrk(text, ".:") && !strchr(text, ',') && cidr_list_parse(text, &list, &bad) == 0;
    cidr_list_fini(&list);
    return valid;
}

static bool is_address(const char *text)
{
    struct address address;
    return text[strspn(text, "0123456789abcdefABCDEF.:")] == '\0' && // no port, no brackets
           address_parse(text, strlen(text), &address) == 0 &&
           (address.family == 6 || strchr(text, ':') == NULL || strncmp(text, "::", 2) == 0);
}

static bool is_outcome(const char *text)
{
    int64_t from, to;
    enum config_call_end end;
    return config_call_end_parse(text, &end) == 0 ||
           config_range_parse(text, CONFIG_STATUS_MIN, CONFIG_STATUS_MAX, &from, &to) == 0;
}

static bool is_rpc_code(const char *text)
{
    int64_t from, to;
    return config_range_parse(text, INT64_MIN, INT64_MAX, &from, &to) == 0;
}

// Every "${" begins one of the known variables.
static bool is_body(const char *text)
{
    static const char *const variables[] = {"${request_id}", "${rpc_id}", "${path}"};
    for (const char *p = strstr(text, "${"); p; p = strstr(p + 2, "${")) {
        bool known = false;
        for (size_t i = 0; i < 3; i++)
            known |= strncmp(p, variables[i], strlen(variables[i])) == 0;
        if (!known)
            return false;
    }
    return true;
}

static const struct config_form form_name = {is_lower_name, "^[a-z0-9-]+$",
                                             "1 to 23 of a-z, 0-9 and '-'"};
static const struct config_form form_path = {
    param_is_url_path, "^/[^?#%\\\\\\s]*$",
    "a path that begins with '/', without '//', dot segments, '?', '#', '%' and blanks"};
static const struct config_form form_host = {
    is_host, "^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9_][A-Za-z0-9._-]*)$",
    "a host name or address without port, IPv6 in brackets"};
static const struct config_form form_limit_host = {
    is_limit_host, "^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9_][A-Za-z0-9._-]{0,126})$",
    "a host name or address of at most 127 bytes without port, IPv6 in brackets"};
static const struct config_form form_content_type = {is_header_value, "^[!-~]([ -~]*[!-~])?$",
                                                     "printable ASCII"};
static const struct config_form form_rpc_method = {is_rpc_method, "^[A-Za-z0-9_.-]+$",
                                                   "letters, digits, '_', '.' and '-'"};
static const struct config_form form_header = {is_header_name, "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,63}$",
                                               "a header's name of at most 63 bytes"};
static const struct config_form form_limit_path = {
    is_limit_path, "^/[^?#%\\\\\\s]{0,126}$",
    "a path of at most 127 bytes that begins with '/', without '//', dot segments, '?', '#', '%' "
    "and blanks"};
static const struct config_form form_file = {is_file_name, "^[^\\u0000-\\u001f\\u007f]+$",
                                             "the path of a file"};
static const struct config_form form_mail_address = {
    is_mail_address, "^[^\\s@<>()\\[\\]\\\\,;:\"]+@[^\\s@<>()\\[\\]\\\\,;:\"]+$",
    "an address like name@example.org"};
static const struct config_form form_dns_name = {is_dns_name, "^[A-Za-z0-9_][A-Za-z0-9._-]*$",
                                                 "a host name"};
static const struct config_form form_key = {
    is_key, "^(client-address|subject|api-key|route|caller|header:[!-~]{1,63})$",
    "client-address, subject, api-key, route, caller, header:NAME"};
static const struct config_form form_order = {
    is_order, "^(json:/([!-}]|~[01]){0,126}|[A-Za-z0-9!#$%&'*+.^_`|~-]{1,63})$",
    "a header's name of at most 63 bytes, or json:/POINTER (RFC 6901) of at most 127"};
static const struct config_form form_key_text = {is_header_value, "^[!-~]([ -~]*[!-~])?$",
                                                 "printable ASCII"};
static const struct config_form form_network = {is_network, "^[0-9A-Fa-f:.]+(/[0-9]+)?$",
                                                "an address or a CIDR block"};
static const struct config_form form_address = {is_address, "^[0-9A-Fa-f:.]+$", "an address"};
static const struct config_form form_outcome = {
    is_outcome,
    "^([1-5][0-9][0-9](\\.\\.[1-5][0-9][0-9])?|connect_failed|connect_timeout|tls_failed|first_"
    "byte_timeout|"
    "idle_timeout|total_timeout|reset|bad_answer|no_address)$",
    "a status (503), a range of them (500..599), connect_failed, connect_timeout, tls_failed, "
    "first_byte_timeout, idle_timeout, total_timeout, reset, bad_answer or no_address"};
static const struct config_form form_rpc_code = {is_rpc_code, "^-?[0-9]+(\\.\\.-?[0-9]+)?$",
                                                 "a code (-32603) or a range (-32099..-32000)"};
static const struct config_form form_body = {
    is_body, NULL, "text with no variables but ${request_id}, ${rpc_id} and ${path}"};

#define AT(object_, field_)                                                                        \
    .object = OBJECT_##object_, .offset = offsetof(struct config_##object_, field_)
#define SIZE(object_, field_) .size = sizeof(((struct config_##object_ *)0)->field_)
#define CONFIG_UINT(object_, key_, field_, def, lo, hi, unit_, help_)                              \
    {AT(object_, field_), SIZE(object_, field_), .key = #key_,                                     \
     .type = FIELD_UINT,  .default_text = (def), .min = (lo),                                      \
     .max = (hi),         .unit = (unit_),       .help = (help_)},
#define CONFIG_LIKE(object_, key_, field_, parameter)                                              \
    {AT(object_, field_), SIZE(object_, field_), .key = #key_, .type = FIELD_UINT,                 \
     .like = #parameter},
#define CONFIG_BOOL(object_, key_, field_, def, help_)                                             \
    {AT(object_, field_), .key = #key_, .type = FIELD_BOOL, .default_text = (def), .help = (help_)},
#define CONFIG_STR(object_, key_, field_, def, form_, longest, required_, help_)                   \
    {AT(object_, field_), .key = #key_,    .type = FIELD_STR,       .default_text = (def),         \
     .max = (longest),    .form = (form_), .required = (required_), .help = (help_)},
#define CONFIG_ENUM(object_, key_, field_, first, choices_, help_)                                 \
    {AT(object_, field_), SIZE(object_, field_), .key = #key_,     .type = FIELD_ENUM,             \
     .min = (first),      .choices = (choices_), .required = true, .help = (help_)},
#define CONFIG_CHOICE(object_, key_, field_, def, choices_, help_)                                 \
    {AT(object_, field_),   SIZE(object_, field_), .key = #key_,   .type = FIELD_ENUM,             \
     .default_text = (def), .choices = (choices_), .help = (help_)},
#define CONFIG_FLAGS(object_, key_, field_, def, choices_, help_)                                  \
    {AT(object_, field_), SIZE(object_, field_), .key = #key_,                                     \
     .type = FIELD_FLAGS, .default_text = (def), .min = 1,                                         \
     .max = 32,           .choices = (choices_), .help = (help_)},
#define CONFIG_STRS(object_, key_, field_, form_, most, help_)                                     \
    {AT(object_, field_), .key = #key_,    .type = FIELD_STRS,                                     \
     .max = (most),       .form = (form_), .help = (help_)},
#define CONFIG_REF(object_, key_, field_, help_)                                                   \
    {AT(object_, field_), .key = #key_, .type = FIELD_REF, .required = true, .help = (help_)},
#define CONFIG_URL(object_, key_, field_, help_)                                                   \
    {AT(object_, field_), .key = #key_, .type = FIELD_URL, .help = (help_)},
#define CONFIG_URLS(object_, key_, field_, help_)                                                  \
    {AT(object_, field_),         .key = #key_,   .type = FIELD_URLS, .min = 1,                    \
     .max = CONFIG_ENDPOINTS_MAX, .help = (help_)},
#define CONFIG_OBJECT(object_, key_, field_, child_, help_)                                        \
    {AT(object_, field_), .key = #key_, .type = FIELD_OBJECT, .child = OBJECT_##child_,            \
     .help = (help_)},
#define CONFIG_PART(object_, key_, field_, child_, help_)                                          \
    {AT(object_, field_),          .key = #key_,   .type = FIELD_OBJECT, .child = OBJECT_##child_, \
     .default_text = "its fields", .help = (help_)},
#define CONFIG_OBJECTS(object_, key_, field_, count, child_, most, help_)                          \
    {AT(object_, field_),                                                                          \
     .key = #key_,                                                                                 \
     .type = FIELD_OBJECTS,                                                                        \
     .count_offset = offsetof(struct config_##object_, count),                                     \
     .child = OBJECT_##child_,                                                                     \
     .child_size = sizeof(struct config_##child_),                                                 \
     .max = (most),                                                                                \
     .help = (help_)},
#define CONFIG_INLINE(object_, key_, field_, count, child_, most, help_)                           \
    {AT(object_, field_),                                                                          \
     .key = #key_,                                                                                 \
     .type = FIELD_OBJECTS,                                                                        \
     .count_offset = offsetof(struct config_##object_, count),                                     \
     .child = OBJECT_##child_,                                                                     \
     .child_size = sizeof(struct config_##child_),                                                 \
     .max = (most),                                                                                \
     .inline_max = (most),                                                                         \
     .help = (help_)},
#define CONFIG_MAP(object_, key_, help_)                                                           \
    {.object = OBJECT_##object_, .key = #key_, .type = FIELD_MAP, .help = (help_)},
#define CONFIG_NOTE(object_, key_, help_)                                                          \
    {.object = OBJECT_##object_, .key = (key_), .type = FIELD_NOTE, .help = (help_)},

static const struct config_field fields[] = {
#include "config/config_fields.def"
};

static const struct param_row *find_param(const char *name)
{
    for (size_t i = 0; i < breakers_param_group.n_rows; i++)
        if (strcmp(breakers_param_group.rows[i].name, name) == 0)
            return &breakers_param_group.rows[i];
    return NULL;
}

size_t config_n_fields(void)
{
    return sizeof(fields) / sizeof(fields[0]);
}

struct config_field config_field_at(size_t i)
{
    struct config_field field = fields[i];
    if (field.like) {
        const struct param_row *row = find_param(field.like);
        ASSERT(row && (row->type == PARAM_TYPE_UINT || row->type == PARAM_TYPE_ENUM));
        field.type = row->type == PARAM_TYPE_ENUM ? FIELD_ENUM : FIELD_UINT;
        field.choices = row->choices;
        field.min = row->type == PARAM_TYPE_ENUM ? 1 : row->min; // 0 in the struct: silent
        field.max = row->max;
        field.unit = row->unit;
        field.help = row->help;
    }
    return field;
}

const char *config_object_title(enum config_object object)
{
    static const char *const titles[N_OBJECTS] = {
        [OBJECT_model] = "The file",
        [OBJECT_limits] = "limits",
        [OBJECT_tier] = "limits.tiers[]",
        [OBJECT_region] = "limits.regions[]",
        [OBJECT_policy] = "limits.policies[]",
        [OBJECT_match] = "limits.policies[].match",
        [OBJECT_header] = "headers[] of match and overrides[]",
        [OBJECT_override] = "limits.policies[].overrides[]",
        [OBJECT_upstream] = "upstreams[]",
        [OBJECT_breaker] = "upstreams[].breaker",
        [OBJECT_ejection] = "upstreams[].ejection",
        [OBJECT_outcomes] = "upstreams[].outcomes",
        [OBJECT_retry] = "upstreams[].retry",
        [OBJECT_tls] = "upstreams[].tls",
        [OBJECT_smtp] = "upstreams[].smtp",
        [OBJECT_probe] = "upstreams[].probe",
        [OBJECT_route] = "routes[]",
        [OBJECT_fallback] = "routes[].fallbacks[], upstreams[].fallbacks[]",
        [OBJECT_advice] = "advice",
        [OBJECT_scaling] = "advice.scale_up, advice.scale_down",
        [OBJECT_rate] = "advice.scale_up.rates[], advice.scale_down.rates[]",
    };
    return titles[object];
}

static void append_choices(const char *choices, struct strbuf *out)
{
    for (const char *p = choices; *p; p++)
        strbuf_append(out, *p == '|' ? ", " : p, *p == '|' ? 2 : 1);
}

void config_field_allowed(const struct config_field *field, struct strbuf *out)
{
    switch (field->type) {
    case FIELD_UINT:
        strbuf_printf(out, "%" PRIu64 " to %" PRIu64 "%s%s", field->min, field->max,
                      field->unit[0] ? " " : "", field->unit);
        break;
    case FIELD_BOOL:
        strbuf_puts(out, "true, false");
        break;
    case FIELD_STR:
    case FIELD_STRS:
        strbuf_puts(out, field->form->allowed);
        break;
    case FIELD_ENUM:
    case FIELD_FLAGS:
        append_choices(field->choices, out);
        break;
    case FIELD_URL:
    case FIELD_URLS:
        strbuf_puts(out, CONFIG_URL_ALLOWED);
        break;
    case FIELD_REF:
        strbuf_puts(out, "the name of an upstream");
        break;
    case FIELD_OBJECT:
    case FIELD_OBJECTS:
    case FIELD_MAP:
        strbuf_puts(out, "see below");
        break;
    case FIELD_NOTE:
        strbuf_puts(out, "text");
        break;
    }
}
