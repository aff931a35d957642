#include "metric/exposition.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "metric/family.h"

struct writer {
    struct strbuf *out;
    bool openmetrics;
    int64_t wall_offset_ns;
    const struct exposition_series *more;
    size_t n_more;
};

size_t exposition_format_number(double value, char text[EXPOSITION_NUMBER_MAX])
{
    if (isnan(value))
        return (size_t)snprintf(text, EXPOSITION_NUMBER_MAX, "NaN");
    if (isinf(value))
        return (size_t)snprintf(text, EXPOSITION_NUMBER_MAX, value > 0 ? "+Inf" : "-Inf");
    int len = 0;
    for (int digits = 15; digits <= 17; digits++) { // 17 always read back exactly, 15 mostly do
        len = snprintf(text, EXPOSITION_NUMBER_MAX, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (memcmp(&back, &value, sizeof(back)) == 0)
            break;
    }
    return (size_t)len;
}

static void put_u64(struct strbuf *out, uint64_t value)
{
    char text[24];
    char *at = text + sizeof(text);
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    strbuf_append(out, at, (size_t)(text + sizeof(text) - at));
}

static void put_number(struct strbuf *out, double value)
{
    char text[EXPOSITION_NUMBER_MAX];
    strbuf_append(out, text, exposition_format_number(value, text));
}

static void put_escaped(struct writer *writer, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '\n' || (*text == '"' && writer->openmetrics))
            strbuf_puts(writer->out, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\");
        else
            strbuf_append(writer->out, text, 1);
    }
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t len = strlen(text), suffix_len = strlen(suffix);
    return len > suffix_len && strcmp(text + len - suffix_len, suffix) == 0;
}

// OpenMetrics names a counter's family without the _total of its samples.
static size_t family_name_length(const struct writer *writer, const struct family *family)
{
    size_t len = strlen(family->name);
    bool shortened =
        writer->openmetrics && family->kind == METRIC_COUNTER && has_suffix(family->name, "_total");
    return shortened ? len - strlen("_total") : len;
}

static const char *type_name(const struct writer *writer, const struct family *family)
{
    if (family->kind == METRIC_HISTOGRAM)
        return "histogram";
    if (metric_is_gauge(family->kind))
        return "gauge";
    // An OpenMetrics counter must end in _total.
    return writer->openmetrics && !has_suffix(family->name, "_total") ? "unknown" : "counter";
}

static void put_unit(struct writer *writer, const struct family *family, int name_len)
{
    char base[160], ending[160];
    snprintf(base, sizeof(base), "%.*s", name_len, family->name);
    snprintf(ending, sizeof(ending), "_%s", family->unit);
    if (*family->unit && has_suffix(base, ending)) // else the format forbids the line
        strbuf_printf(writer->out, "# UNIT %s %s\n", base, family->unit);
}

static void put_header(struct writer *writer, const struct family *family)
{
    int len = (int)family_name_length(writer, family);
    if (writer->openmetrics) { // its order is TYPE, UNIT, HELP; text has HELP first by custom
        strbuf_printf(writer->out, "# TYPE %.*s %s\n", len, family->name,
                      type_name(writer, family));
        put_unit(writer, family, len);
    }
    strbuf_printf(writer->out, "# HELP %.*s ", len, family->name);
    put_escaped(writer, family->help);
    strbuf_puts(writer->out, "\n");
    if (!writer->openmetrics)
        strbuf_printf(writer->out, "# TYPE %s %s\n", family->name, type_name(writer, family));
}

// name{labels,extra} with one blank behind it; any part may be empty.
static void put_sample(struct strbuf *out, const char *name, const char *suffix, const char *labels,
                       const char *extra)
{
    strbuf_puts(out, name);
    strbuf_puts(out, suffix);
    if (*labels || *extra) {
        strbuf_append(out, "{", 1);
        strbuf_puts(out, labels);
        if (*labels && *extra)
            strbuf_append(out, ",", 1);
        strbuf_puts(out, extra);
        strbuf_append(out, "}", 1);
    }
    strbuf_append(out, " ", 1);
}

static void put_stored(struct strbuf *out, const struct family *family,
                       const struct family_series *series)
{
    // A plain count is written as the integer it is, beyond 2^53 too.
    if (fpclassify(series->rest) == FP_ZERO && fpclassify(family->scale - 1) == FP_ZERO)
        put_u64(out, series->raw);
    else
        put_number(out, metric_scaled(series->raw, family->scale) + series->rest);
    strbuf_append(out, "\n", 1);
}

// Whole seconds since 1970.
static void put_created(struct writer *writer, const char *name, size_t name_len,
                        const char *labels, uint64_t wall_ns)
{
    char base[160];
    if (!writer->openmetrics || wall_ns == 0)
        return;
    snprintf(base, sizeof(base), "%.*s", (int)name_len, name);
    put_sample(writer->out, base, "_created", labels, "");
    put_u64(writer->out, wall_ns / NS_PER_S);
    strbuf_puts(writer->out, "\n");
}

static uint64_t created_wall_ns(const struct writer *writer, const struct family_series *series)
{
    return (uint64_t)((int64_t)(series->created_s * NS_PER_S) + writer->wall_offset_ns);
}

// le is a canonical float in both formats ("1.0"), so that a series keeps its name whichever a
// Prometheus asks for.
static void format_le(double bound, char text[EXPOSITION_NUMBER_MAX + 8])
{
    char number[EXPOSITION_NUMBER_MAX];
    exposition_format_number(bound, number);
    snprintf(text, EXPOSITION_NUMBER_MAX + 8, "le=\"%s%s\"", number,
             strpbrk(number, ".eN") == NULL && isfinite(bound) ? ".0" : "");
}

static bool is_in_bucket(const struct family *family, uint32_t bucket, double value)
{
    return (bucket == 0 || value > family->bounds[bucket - 1]) &&
           (bucket == family->n_bounds || value <= family->bounds[bucket]);
}

static void put_exemplar(struct writer *writer, const struct family *family,
                         const struct family_series *series, uint32_t bucket)
{
    if (!writer->openmetrics || series->exemplars == NULL)
        return;
    const struct metric_exemplar *exemplar = &series->exemplars[bucket];
    double value = metric_scaled(exemplar->value, family->scale);
    if (exemplar->wall_s == 0 || !is_in_bucket(family, bucket, value))
        return;
    strbuf_printf(writer->out, " # {trace_id=\"%016" PRIx64 "%016" PRIx64 "\"} ",
                  exemplar->trace.high, exemplar->trace.low);
    put_number(writer->out, value);
    strbuf_printf(writer->out, " %" PRIu32, exemplar->wall_s);
}

static void put_histogram(struct writer *writer, const struct family *family,
                          const struct family_series *series)
{
    struct strbuf *out = writer->out;
    uint64_t count = 0;
    char le[EXPOSITION_NUMBER_MAX + 8];
    for (uint32_t i = 0; i <= family->n_bounds; i++) {
        format_le(i < family->n_bounds ? family->bounds[i] : INFINITY, le);
        count += series->buckets[i];
        put_sample(out, family->name, "_bucket", series->labels, le);
        put_u64(out, count);
        put_exemplar(writer, family, series, i);
        strbuf_append(out, "\n", 1);
    }
    put_sample(out, family->name, "_sum", series->labels, "");
    put_stored(out, family, series);
    put_sample(out, family->name, "_count", series->labels, "");
    put_u64(out, count); // of the buckets, so that it equals +Inf whatever happens meanwhile
    strbuf_append(out, "\n", 1);
    put_created(writer, family->name, strlen(family->name), series->labels,
                created_wall_ns(writer, series));
}

static void put_family(struct writer *writer, const struct family_set *set,
                       const struct family *family)
{
    if (family->first == FAMILY_END)
        return;
    put_header(writer, family);
    for (uint32_t i = family->first; i != FAMILY_END; i = set->series[i].next) {
        const struct family_series *series = &set->series[i];
        if (family->kind == METRIC_HISTOGRAM) {
            put_histogram(writer, family, series);
            continue;
        }
        put_sample(writer->out, family->name, "", series->labels, "");
        if (family->kind == METRIC_COUNTER) {
            put_stored(writer->out, family, series);
            if (has_suffix(family->name, "_total"))
                put_created(writer, family->name, family_name_length(writer, family),
                            series->labels, created_wall_ns(writer, series));
        } else {
            put_number(writer->out, series->rest);
            strbuf_append(writer->out, "\n", 1);
        }
    }
}

static bool is_computed(const struct writer *writer, const struct family *family)
{
    for (size_t i = 0; i < writer->n_more; i++)
        if ((i == 0 || writer->more[i].def != writer->more[i - 1].def) &&
            strcmp(writer->more[i].def->name, family->name) == 0)
            return true;
    return false;
}

static void put_computed(struct writer *writer)
{
    for (size_t i = 0; i < writer->n_more; i++) {
        const struct exposition_series *series = &writer->more[i];
        const struct family family = {.name = series->def->name,
                                      .unit = series->def->unit,
                                      .help = series->def->help,
                                      .kind = series->def->kind};
        if (i == 0 || series->def != series[-1].def)
            put_header(writer, &family);
        put_sample(writer->out, family.name, "", series->labels, "");
        put_u64(writer->out, series->value);
        strbuf_append(writer->out, "\n", 1);
        if (family.kind == METRIC_COUNTER)
            put_created(writer, family.name, family_name_length(writer, &family), series->labels,
                        series->created_wall_ns);
    }
}

static void put_damaged(struct writer *writer, const struct family_set *set)
{
    const struct exposition_series damaged = {.def = metric_damaged_def, .value = set->n_damaged};
    struct writer one = *writer;
    one.more = &damaged;
    one.n_more = 1;
    put_computed(&one);
}

int exposition_write(const struct segment *segment, enum exposition_form form,
                     const struct exposition_series *more, size_t n_more, struct strbuf *out)
{
    struct writer writer = {.out = out,
                            .openmetrics = form == EXPOSITION_OPENMETRICS,
                            .wall_offset_ns = segment_wall_offset_ns(segment),
                            .more = more,
                            .n_more = n_more};
    struct metric_reading *reading;
    struct family_set set;
    int r = metric_reading_create(segment, &reading);
    if (r < 0)
        return r;
    r = family_set_init(&set, reading);
    if (r == 0) {
        for (uint32_t i = 0; i < set.n_families; i++)
            if (!is_computed(&writer, &set.families[i]))
                put_family(&writer, &set, &set.families[i]);
        put_computed(&writer);
        put_damaged(&writer, &set);
        if (writer.openmetrics)
            strbuf_puts(out, "# EOF\n");
        family_set_fini(&set);
        r = strbuf_ok(out) ? 0 : -ENOMEM;
    }
    metric_reading_destroy(&reading);
    return r;
}
