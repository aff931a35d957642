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

enum option { OPTION_COST, OPTION_PEEK, OPTION_DENY, OPTIONS };
static const char *const option_names[OPTIONS] = {"cost", "peek", "deny"};

struct options {
    bool seen[OPTIONS];
    uint64_t cost, deny;
    bool peek;
};

static enum option find_option(const char *name, size_t name_len)
{
    enum option option = OPTION_COST;
    while (option < OPTIONS && (strlen(option_names[option]) != name_len ||
                                memcmp(option_names[option], name, name_len) != 0)) {
        option++;
    }
    return option;
}

static bool read_option(const char *name, size_t name_len, const char *value,
                        struct options *options, struct check_problem *problem)
{
    enum option option = find_option(name, name_len);
    if (option == OPTIONS) {
        return refuse(problem, "check_parameter",
                      "There is no parameter '%.*s'; allowed are cost, peek and deny.",
                      name_len < 40 ? (int)name_len : 40, name);
    }
    if (options->seen[option]) {
        return refuse(problem, "check_parameter",
                      "The parameter '%s' stands there twice; allowed is each once.",
                      option_names[option]);
    }
    options->seen[option] = true;
    if (option == OPTION_COST && parse_u64(value, 0, CHECK_COST_MAX, &options->cost) != 0) {
        return refuse(problem, "check_cost", "cost is '%s', allowed are 0 (peek) to %d.", value,
                      CHECK_COST_MAX);
    }
    if (option == OPTION_PEEK) {
        options->peek = true;
        if (value[0] != '\0' && parse_bool(value, &options->peek) != 0) {
            return refuse(problem, "check_peek", "peek is '%s', allowed are true and false.",
                          value);
        }
    }
    if (option == OPTION_DENY &&
        (parse_u64(value, 401, 429, &options->deny) != 0 ||
         (options->deny != 401 && options->deny != 403 && options->deny != 429))) {
        return refuse(problem, "check_deny", "deny is '%s', allowed are 401, 403 and 429.", value);
    }
    return true;
}

// In any order: a peek charges nothing, whatever cost it is asked with.
static bool read_options(const char *query, struct check_ask *ask, struct check_problem *problem)
{
    struct options options = {.cost = ask->cost, .deny = ask->denied_status};
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
        if (len > 0 && !read_option(query, name_len, value, &options, problem)) {
            return false;
        }
        query += len + (query[len] == '&');
    }
    ask->cost = options.peek ? 0 : (uint32_t)options.cost;
    ask->denied_status = (unsigned)options.deny;
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
