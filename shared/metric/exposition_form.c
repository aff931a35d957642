#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "metric/exposition.h"

// One media range of an Accept header, RFC 9110 12.5.1; texts are not NUL-terminated.
struct range {
    const char *type, *version;
    size_t type_len, version_len; // version_len 0: none given
    double quality;
};

// How precisely a range names a form; 0: not at all.
enum precision { NOT_NAMED, NAMED_BY_ALL, NAMED_BY_KIND, NAMED_BY_TYPE, NAMED_BY_VERSION };

static const struct {
    const char *type, *kind, *version, *content_type;
} forms[] = {
    [EXPOSITION_TEXT] = {"text/plain", "text/*", "0.0.4",
                         "text/plain; version=0.0.4; charset=utf-8"},
    [EXPOSITION_OPENMETRICS] = {"application/openmetrics-text", "application/*", "1.0.0",
                                "application/openmetrics-text; version=1.0.0; charset=utf-8"},
};

const char *exposition_content_type(enum exposition_form form)
{
    return forms[form].content_type;
}

// The part up to `end` without the blanks around it.
static const char *trimmed(const char *from, const char *end, size_t *ret_len)
{
    while (from < end && isspace((unsigned char)*from))
        from++;
    while (end > from && isspace((unsigned char)end[-1]))
        end--;
    *ret_len = (size_t)(end - from);
    return from;
}

// Where the part that begins here ends: at one of `stops` outside quotes, or at the end.
static const char *part_end(const char *from, const char *stops)
{
    bool quoted = false;
    for (; *from; from++) {
        if (*from == '"')
            quoted = !quoted;
        else if (quoted && *from == '\\' && from[1])
            from++;
        else if (!quoted && strchr(stops, *from))
            break;
    }
    return from;
}

static bool is_text(const char *text, size_t len, const char *expected)
{
    return strlen(expected) == len && strncasecmp(text, expected, len) == 0;
}

// 0 to 1, as "0.5"; what is no quality refuses the range, as 0 does.
static double parse_quality(const char *text, size_t len)
{
    char number[8];
    size_t digits = 0;
    if (len == 0 || len > 5 || (text[0] != '0' && text[0] != '1'))
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (i == 1 ? text[i] != '.' : !isdigit((unsigned char)text[i]))
            return 0;
        number[digits++] = text[i];
    }
    number[digits] = '\0';
    double quality = strtod(number, NULL);
    return quality <= 1 ? quality : 0;
}

static void take_parameter(struct range *range, const char *from, const char *end)
{
    const char *equals = memchr(from, '=', (size_t)(end - from));
    size_t name_len, value_len;
    if (equals == NULL)
        return;
    const char *name = trimmed(from, equals, &name_len);
    const char *value = trimmed(equals + 1, end, &value_len);
    if (value_len >= 2 && value[0] == '"' && value[value_len - 1] == '"') {
        value++;
        value_len -= 2;
    }
    if (is_text(name, name_len, "q")) {
        range->quality = parse_quality(value, value_len);
    } else if (is_text(name, name_len, "version")) {
        range->version = value;
        range->version_len = value_len;
    }
}

// Takes the next range of the list; false at its end.
static bool next_range(const char **cursor, struct range *ret_range)
{
    const char *from = *cursor;
    if (*from == '\0')
        return false;
    const char *end = part_end(from, ",;");
    *ret_range = (struct range){.quality = 1};
    ret_range->type = trimmed(from, end, &ret_range->type_len);
    while (*end == ';') {
        from = end + 1;
        end = part_end(from, ",;");
        take_parameter(ret_range, from, end);
    }
    *cursor = *end == ',' ? end + 1 : end;
    return true;
}

static enum precision precision_of(const struct range *range, enum exposition_form form)
{
    if (is_text(range->type, range->type_len, "*/*"))
        return NAMED_BY_ALL;
    if (is_text(range->type, range->type_len, forms[form].kind))
        return NAMED_BY_KIND;
    if (!is_text(range->type, range->type_len, forms[form].type))
        return NOT_NAMED;
    if (range->version_len == 0)
        return NAMED_BY_TYPE;
    return is_text(range->version, range->version_len, forms[form].version) ? NAMED_BY_VERSION
                                                                            : NOT_NAMED;
}

static double quality_of(const char *accept, enum exposition_form form,
                         enum precision *ret_precision)
{
    struct range range;
    double quality = 0;
    *ret_precision = NOT_NAMED;
    while (next_range(&accept, &range)) {
        enum precision precision = precision_of(&range, form);
        if (precision > *ret_precision) {
            *ret_precision = precision;
            quality = range.quality;
        }
    }
    return quality;
}

enum exposition_form exposition_form_of_accept(const char *accept)
{
    enum precision as_text, as_openmetrics;
    if (accept == NULL)
        return EXPOSITION_TEXT;
    double text = quality_of(accept, EXPOSITION_TEXT, &as_text);
    double openmetrics = quality_of(accept, EXPOSITION_OPENMETRICS, &as_openmetrics);
    bool named = as_openmetrics >= NAMED_BY_TYPE;
    return openmetrics > text || (named && openmetrics > 0 && openmetrics >= text)
               ? EXPOSITION_OPENMETRICS
               : EXPOSITION_TEXT;
}
