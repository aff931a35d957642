// docs/metrics.md: the rows of every metrics.def, by who counts them.
#include "pages.h"

#include <errno.h>
#include <string.h>

#include "base/buckets.h"

struct row {
    const char *name, *kind, *labels, *help;
};
#define ROW(name_, kind_, labels_, help_)                                                          \
    {.name = (name_), .kind = (kind_), .labels = (labels_), .help = (help_)},
#define COUNTER(field, name, unit, labels, scale, help) ROW(name, "counter", labels, help)
#define GAUGE(field, name, unit, labels, help)          ROW(name, "gauge", labels, help)
#define GAUGE_MAX(field, name, unit, labels, help)      ROW(name, "gauge, the largest", labels, help)
#define HISTOGRAM(field, name, unit, labels, bounds, scale, help)                                  \
    ROW(name, "histogram", labels, help)
#define HISTOGRAM_TRACED(field, name, unit, labels, bounds, scale, help)                           \
    ROW(name, "histogram, exemplars", labels, help)

static const struct row front_rows[] = {
#include "services/api-front/metrics.def"
};
static const struct row database_rows[] = {
#include "metric/database_metrics.def"
};
static const struct row limiter_rows[] = {
#include "services/limiter/metrics.def"
};
static const struct row breaker_rows[] = {
#include "services/breaker/metrics.def"
};
static const struct row breakers_rows[] = {
#include "service/breaker_metrics.def"
};
static const struct row agent_rows[] = {
#include "services/metrics-agent/metrics.def"
};
static const struct row advisor_rows[] = {
#include "services/scaler-advisor/metrics.def"
};
static const struct row process_rows[] = {
#include "service/metrics.def"
};
static const struct row suite_rows[] = {
#include "metric/own_metrics.def"
#include "service/suite_metrics.def"
};

#define SECTION(title, rows)                                                                       \
    {                                                                                              \
        title, rows, sizeof(rows) / sizeof((rows)[0])                                              \
    }
static const struct {
    const char *title;
    const struct row *rows;
    size_t n;
} sections[] = {
    SECTION("The gateway (api-front)", front_rows),
    SECTION("The database (api-front and breaker)", database_rows),
    SECTION("Rate limits (limiter)", limiter_rows),
    SECTION("Breakers (computed from the segment)", breakers_rows),
    SECTION("Permits, probes and the outbox (breaker)", breaker_rows),
    SECTION("Host and rates (metrics-agent)", agent_rows),
    SECTION("Advice (scaler-advisor)", advisor_rows),
    SECTION("Every process", process_rows),
    SECTION("Segment and processes (computed from the segment)", suite_rows),
};

// A cell of a table: '|' would end it.
static void put_cell(const char *text, struct strbuf *out)
{
    for (; *text; text++)
        strbuf_append(out, *text == '|' ? "\\|" : text, *text == '|' ? 2 : 1);
}

static void put_labels(const char *labels, struct strbuf *out)
{
    for (const char *at = labels; *at; at += strcspn(at, ",")) {
        at += *at == ',';
        strbuf_printf(out, "%s`%.*s`", at == labels ? "" : ", ", (int)strcspn(at, ","), at);
    }
}

static void put_row(const struct row *row, struct strbuf *out)
{
    strbuf_printf(out, "| `%s` | %s | ", row->name, row->kind);
    put_labels(row->labels, out);
    strbuf_puts(out, " | ");
    put_cell(row->help, out);
    strbuf_puts(out, ". |\n");
}

int metrics_page(struct strbuf *out)
{
    strbuf_puts(
        out,
        "# Metrics\n\n"
        "Made from every `metrics.def`; do not edit. How to collect them, alerts and a dashboard: "
        "[monitoring.md](monitoring.md).\n\n"
        "`/metrics` (`METRICS_ENDPOINT`) is served by api-front to `SYSTEM_ALLOW`, and by "
        "metrics-agent on\n`METRICS_LISTEN`; both say the same of the whole suite. What several "
        "processes count is added up,\nthose that are gone included, so that no counter goes back "
        "when one is restarted; gauges are of live\nprocesses.\n\n"
        "By `Accept` it is text 0.0.4 (the default) or OpenMetrics 1.0, which alone has `_created` "
        "(since when\na series is counted) and exemplars: the last trace seen in a bucket, from "
        "the "
        "request's `traceparent`\nif that says it is sampled.\n\n"
        "Labels are bounded: routes and upstreams are those of the configuration (the first 24 and "
        "16; the rest\nshare `other`), never paths; methods, status classes, tiers and results are "
        "fixed lists.\n`promtool check metrics` has one complaint, about a name that users were "
        "promised:\n`valvechain_average_response_time_ms`.\n\n"
        "Buckets of the latency histograms are `LATENCY_BUCKETS`, without "
        "it\n`" BUCKETS_LATENCY_DEFAULT "` seconds.\n");
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        strbuf_printf(out,
                      "\n## %s\n\n| metric | kind | labels | what it says |\n"
                      "| --- | --- | --- | --- |\n",
                      sections[i].title);
        for (size_t row = 0; row < sections[i].n; row++)
            put_row(&sections[i].rows[row], out);
    }
    return strbuf_ok(out) ? 0 : -ENOMEM;
}
