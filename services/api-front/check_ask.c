#include "check_ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "config/method.h"

#define VALUE_MAX 16 // of a parameter

static bool refuse(struct check_problem *problem, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool refuse(struct check_problem *problem, const char *code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    problem->code = code;
    (void)vsnprintf(problem->detail, sizeof(problem->detail), format, arguments);
    va_end(arguments);
    return false;
}

struct found { // all lines of one field
    const struct http_header *first;
    unsigned n;
};

static struct found find(const struct http_header *headers, size_t n_headers, const char *name)
{
    struct found found = {0};
    for (size_t i = 0; i < n_headers; i++) {
        if (headers[i].value_len == 0 ||
            !http_name_is(headers[i].name, headers[i].name_len, name)) {
            continue; // an empty field is how a proxy takes its client's away
        }
        found.first = found.n++ == 0 ? &headers[i] : found.first;
    }
    return found;
}

static bool read_method(const struct found *method, const char *name, struct check_ask *ask,
                        struct check_problem *problem)
{
    if (method->n == 0) {
        return true;
    }
    if (method->n > 1) {
        return refuse(problem, "check_ambiguous", "%s stands there %u times.", name, method->n);
    }
    if (!http_is_token(method->first->value, method->first->value_len)) {
        return refuse(problem, "check_method", "%s is no method (a token of RFC 9110 5.6.2).",
                      name);
    }
    ask->method_bit = method_bit_of(method->first->value, method->first->value_len);
    return true;
}

static bool read_target(const char *below, const struct http_header *headers, size_t n_headers,
                        struct check_ask *ask, struct check_problem *problem)
{
    static const struct {
        const char *uri, *method;
    } families[] = {{"x-original-uri", "x-original-method"},
                    {"x-forwarded-uri", "x-forwarded-method"}};
    unsigned n = below[0] != '\0';
    size_t family = 0;
    for (size_t i = 0; i < 2; i++) {
        struct found uri = find(headers, n_headers, families[i].uri);
        if (uri.n > 0) {
            ask->target = uri.first->value;
            ask->target_len = uri.first->value_len;
            family = i;
        }
        n += uri.n;
    }
    if (n == 0) {
        return refuse(problem, "check_no_target",
                      "Nothing says which request is meant: send X-Original-URI or "
                      "X-Forwarded-Uri, or append the original path to the path of this endpoint.");
    }
    if (n > 1) {
        return refuse(problem, "check_ambiguous",
                      "More than one thing says which request is meant; send one X-Original-URI "
                      "or one X-Forwarded-Uri or append the path, and drop what clients send.");
    }
    if (below[0] != '\0') {
        return true;
    }
    struct found method = find(headers, n_headers, families[family].method);
    return read_method(&method, families[family].method, ask, problem);
}

static bool read_option(const char *name, size_t name_len, const char *value, struct check_ask *ask,
                        struct check_problem *problem)
{
    uint64_t number = 0;
    bool peek = true;
    if (name_len == 4 && memcmp(name, "cost", 4) == 0) {
        if (parse_u64(value, 0, CHECK_COST_MAX, &number) != 0) {
            return refuse(problem, "check_cost", "cost is '%s', allowed are 0 (peek) to %d.", value,
                          CHECK_COST_MAX);
        }
        ask->cost = (uint32_t)number;
        return true;
    }
    if (name_len == 4 && memcmp(name, "peek", 4) == 0) {
        if (value[0] != '\0' && parse_bool(value, &peek) != 0) {
            return refuse(problem, "check_peek", "peek is '%s', allowed are true and false.",
                          value);
        }
        ask->cost = peek ? 0 : ask->cost;
        return true;
    }
    if (name_len == 4 && memcmp(name, "deny", 4) == 0) {
        if (parse_u64(value, 401, 429, &number) != 0 ||
            (number != 401 && number != 403 && number != 429)) {
            return refuse(problem, "check_deny", "deny is '%s', allowed are 401, 403 and 429.",
                          value);
        }
        ask->denied_status = (unsigned)number;
        return true;
    }
    return refuse(problem, "check_parameter",
                  "There is no parameter '%.*s'; allowed are cost, peek and deny.",
                  name_len < 40 ? (int)name_len : 40, name);
}

static bool read_options(const char *query, struct check_ask *ask, struct check_problem *problem)
{
    while (*query != '\0') {
        size_t len = strcspn(query, "&");
        const char *equals = memchr(query, '=', len);
        size_t name_len = equals != NULL ? (size_t)(equals - query) : len;
        size_t value_len = equals != NULL ? len - name_len - 1 : 0;
        char value[VALUE_MAX] = "";
        if (value_len >= sizeof(value)) {
            return refuse(problem, "check_parameter", "The value of '%.*s' is too long.",
                          name_len < 40 ? (int)name_len : 40, query);
        }
        memcpy(value, query + len - value_len, value_len);
        if (len > 0 && !read_option(query, name_len, value, ask, problem)) {
            return false;
        }
        query += len + (query[len] == '&');
    }
    return true;
}

bool check_ask_read(const char *below, const char *query, const struct http_header *headers,
                    size_t n_headers, struct check_ask *ret_ask, struct check_problem *ret_problem)
{
    struct check_ask ask = {.cost = 1, .denied_status = 429};
    if (!read_target(below, headers, n_headers, &ask, ret_problem) ||
        (below[0] == '\0' && !read_options(query, &ask, ret_problem))) {
        return false;
    }
    *ret_ask = ask;
    return true;
}
