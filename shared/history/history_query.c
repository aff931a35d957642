#include "history/history_query.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

#define DAY_S         86400
#define HOUR_S        3600
#define MINUTE_S      60
#define STEPS_DEFAULT 720

struct range {
    uint64_t from_s, to_s;
    uint32_t step_s;
    size_t n;
};
struct wanted {
    uint32_t places[HISTORY_PLACES];
    size_t n;
};

static int problem(char ret_problem[HISTORY_PROBLEM_MAX], const char *parameter, const char *text,
                   const char *allowed)
{
    (void)snprintf(ret_problem, HISTORY_PROBLEM_MAX, "%s: '%.60s' %s", parameter, text, allowed);
    return -EINVAL;
}

// ---- the query ----------------------------------------------------------------------------------

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// In place: a decoded text is never longer.
static bool decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from == '%') {
            int high = hex_digit(from[1]);
            int low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0 || high * 16 + low == 0)
                return false;
            *to++ = (char)(high * 16 + low);
            from += 2;
        } else {
            *to++ = *from == '+' ? ' ' : *from;
        }
    }
    *to = '\0';
    return true;
}

int history_query_read(char *text, struct history_query *ret_query,
                       char ret_problem[HISTORY_PROBLEM_MAX])
{
    struct history_query query = {0};
    const struct {
        const char *name;
        const char **value;
    } known[] = {
        {"name", &query.name}, {"from", &query.from}, {"to", &query.to}, {"step", &query.step}};
    char *rest = NULL;
    for (char *at = strtok_r(text, "&", &rest); at; at = strtok_r(NULL, "&", &rest)) {
        char *equals = strchr(at, '=');
        bool is_known = false;
        if (equals)
            *equals = '\0';
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            if (strcmp(known[i].name, at) != 0)
                continue;
            *known[i].value = equals ? equals + 1 : "";
            is_known = true;
        }
        if (!is_known)
            return problem(ret_problem, "query", at,
                           "is no parameter here, allowed: name, from, to, step");
        if (equals && !decode(equals + 1))
            return problem(ret_problem, at, equals + 1,
                           "holds an escape that is none, allowed: % and two hex digits");
    }
    *ret_query = query;
    return 0;
}

// ---- the range ----------------------------------------------------------------------------------

static int parse_time(const char *parameter, const char *text, uint64_t now_s, uint64_t *ret_time_s,
                      char ret_problem[HISTORY_PROBLEM_MAX])
{
    uint64_t number;
    if (text[0] == '-' && parse_u64(text + 1, 0, now_s, &number) == 0)
        *ret_time_s = now_s - number;
    else if (parse_u64(text, 0, UINT32_MAX, &number) == 0)
        *ret_time_s = number;
    else
        return problem(ret_problem, parameter, text,
                       "is no time, allowed: Unix seconds, or -N for N seconds ago");
    return 0;
}

static uint32_t default_step(uint64_t seconds, bool is_old)
{
    static const uint32_t steps[] = {1, 2, 5, 10, 30, 60, 120, 300};
    size_t n = sizeof(steps) / sizeof(steps[0]);
    for (size_t i = 0; i < n; i++)
        if (seconds / steps[i] <= STEPS_DEFAULT && (!is_old || steps[i] >= MINUTE_S))
            return steps[i];
    return steps[n - 1];
}

static int parse_step(const char *text, const struct range *range, bool is_old, uint32_t *ret_step,
                      char ret_problem[HISTORY_PROBLEM_MAX])
{
    uint64_t number;
    if (!text || text[0] == '\0') {
        *ret_step = default_step(range->to_s - range->from_s, is_old);
        return 0;
    }
    if (parse_u64(text, 1, DAY_S, &number) < 0)
        return problem(ret_problem, "step", text, "is no step, allowed: 1 to 86400 (seconds)");
    if (is_old && number % MINUTE_S != 0)
        return problem(ret_problem, "step", text,
                       "is too fine, allowed with a `from` of more than an hour ago: multiples of "
                       "60, because what is older is kept by the minute");
    *ret_step = (uint32_t)number;
    return 0;
}

static int parse_range(const struct history_query *query, uint64_t now_s, struct range *ret_range,
                       char ret_problem[HISTORY_PROBLEM_MAX])
{
    struct range range = {.from_s = now_s - HOUR_S, .to_s = now_s};
    int error = 0;
    if (query->from && query->from[0] != '\0')
        error = parse_time("from", query->from, now_s, &range.from_s, ret_problem);
    if (error == 0 && query->to && query->to[0] != '\0')
        error = parse_time("to", query->to, now_s, &range.to_s, ret_problem);
    if (error < 0)
        return error;
    if (range.to_s > now_s)
        range.to_s = now_s;
    // A little more than what is kept, so that who asks for all of it is not a second too late.
    if (range.from_s + DAY_S + MINUTE_S < now_s)
        return problem(ret_problem, "from", query->from,
                       "is too long ago, allowed: the last day (-86400)");
    if (range.from_s >= range.to_s)
        return problem(ret_problem, "from", query->from ? query->from : "",
                       "is not before `to` and before now");
    error = parse_step(query->step, &range, range.from_s + HOUR_S + MINUTE_S < now_s, &range.step_s,
                       ret_problem);
    if (error < 0)
        return error;
    range.from_s -= range.from_s % range.step_s;
    range.n = (size_t)((range.to_s - range.from_s + range.step_s - 1) / range.step_s);
    *ret_range = range;
    return 0;
}

// ---- the names ----------------------------------------------------------------------------------

static bool is_wanted(const char *item, size_t len, const char *name)
{
    if (item[len - 1] == '*')
        return strncmp(name, item, len - 1) == 0;
    return strlen(name) == len && memcmp(name, item, len) == 0;
}

// False: one that is there by its own name; what ends with * may match nothing.
static bool add_wanted(const struct history *history, const char *item, size_t len,
                       struct wanted *wanted)
{
    char name[HISTORY_NAME_MAX];
    bool is_found = item[len - 1] == '*';
    for (uint32_t place = 0; place < HISTORY_PLACES; place++) {
        bool is_new = true;
        if ((!history && place >= HISTORY_FIXED) || !history_at(history, place, name) ||
            !is_wanted(item, len, name))
            continue;
        for (size_t i = 0; i < wanted->n; i++)
            is_new = is_new && wanted->places[i] != place;
        if (is_new)
            wanted->places[wanted->n++] = place;
        is_found = true;
    }
    return is_found;
}

static int parse_names(const struct history *history, const char *names, struct wanted *ret_wanted,
                       char ret_problem[HISTORY_PROBLEM_MAX])
{
    const char *item;
    size_t len;
    ret_wanted->n = 0;
    while (parse_list_next(&names, &item, &len)) {
        char text[HISTORY_NAME_MAX];
        if (add_wanted(history, item, len, ret_wanted))
            continue;
        (void)snprintf(text, sizeof(text), "%.*s", (int)(len < 60 ? len : 60), item);
        return problem(ret_problem, "name", text,
                       "is no series; without `name` the answer lists all there are");
    }
    return 0;
}

// ---- the answer ---------------------------------------------------------------------------------

static void write_values(const struct history *history, uint32_t place, const struct range *range,
                         struct strbuf *out)
{
    for (size_t i = 0; i < range->n; i++) {
        float value = history ? history_value(history, place, range->from_s + i * range->step_s,
                                              range->step_s)
                              : NAN;
        if (i > 0)
            strbuf_puts(out, ",");
        if (isfinite(value))
            strbuf_printf(out, "%.7g", (double)value);
        else
            strbuf_puts(out, "null");
    }
}

// The key of a name comes from the segment: as a JSON string it is what it is.
static void write_series(const struct history_series *series, const char *name, struct strbuf *out)
{
    strbuf_puts(out, "{\"name\":");
    strbuf_json_string(out, name, strlen(name));
    strbuf_printf(out, ",\"unit\":\"%s\"", series->unit);
}

static void write_list(const struct history *history, uint64_t now_s, struct strbuf *out)
{
    static const char *const rollups[] = {"mean", "mean of requests", "max", "last"};
    char name[HISTORY_NAME_MAX];
    const char *comma = "";
    strbuf_printf(out,
                  "{\"now\":%llu,\"keeps\":[{\"step\":1,\"seconds\":%d},{\"step\":60,"
                  "\"seconds\":%d}],\"series\":[",
                  (unsigned long long)now_s, HISTORY_SECONDS, HISTORY_MINUTES * MINUTE_S);
    for (uint32_t place = 0; place < HISTORY_PLACES; place++) {
        if (!history && place >= HISTORY_FIXED)
            break;
        const struct history_series *series = history_at(history, place, name);
        if (!series)
            continue;
        strbuf_puts(out, comma);
        write_series(series, name, out);
        strbuf_printf(out, ",\"rollup\":\"%s\",\"help\":", rollups[series->rollup]);
        strbuf_json_string(out, series->help, strlen(series->help));
        strbuf_puts(out, "}");
        comma = ",";
    }
    strbuf_puts(out, "]}\n");
}

static void write_answer(const struct history *history, const struct wanted *wanted,
                         const struct range *range, uint64_t now_s, struct strbuf *out)
{
    char name[HISTORY_NAME_MAX];
    const char *comma = "";
    strbuf_printf(out, "{\"now\":%llu,\"from\":%llu,\"step\":%u,\"count\":%zu,\"series\":[",
                  (unsigned long long)now_s, (unsigned long long)range->from_s, range->step_s,
                  range->n);
    for (size_t i = 0; i < wanted->n; i++) {
        const struct history_series *series = history_at(history, wanted->places[i], name);
        if (!series) // gave its place away this moment
            continue;
        strbuf_puts(out, comma);
        write_series(series, name, out);
        strbuf_puts(out, ",\"values\":[");
        write_values(history, wanted->places[i], range, out);
        strbuf_puts(out, "]}");
        comma = ",";
    }
    strbuf_puts(out, "]}\n");
}

int history_answer(const struct history *history, const struct history_query *query, uint64_t now_s,
                   struct strbuf *out, char ret_problem[HISTORY_PROBLEM_MAX])
{
    struct range range;
    struct wanted wanted;
    bool is_list = !query->name || query->name[0] == '\0';
    int error = parse_range(query, now_s, &range, ret_problem);
    if (error == 0 && !is_list)
        error = parse_names(history, query->name, &wanted, ret_problem);
    if (error < 0)
        return error;
    if (is_list) {
        write_list(history, now_s, out);
        return strbuf_ok(out) ? 0 : -ENOMEM;
    }
    if (wanted.n * range.n > HISTORY_VALUES_MAX) {
        (void)snprintf(ret_problem, HISTORY_PROBLEM_MAX,
                       "step: %u s make %zu values of %zu series, allowed: %d in one answer",
                       range.step_s, wanted.n * range.n, wanted.n, HISTORY_VALUES_MAX);
        return -EINVAL;
    }
    write_answer(history, &wanted, &range, now_s, out);
    return strbuf_ok(out) ? 0 : -ENOMEM;
}
