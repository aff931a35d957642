// valvectl breakers: how each stands, from the segment, whether the breaker process is there or
// not.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "valvectl.h"

// 0 when it has not begun.
static double span_s(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / (double)NS_PER_S : 0;
}

static uint64_t outcomes(const struct breaker_status *status)
{
    return status->window_successes + status->window_failures + status->window_timeouts;
}

// Shares of the window's outcomes, as the rules judge them; NAN would be no JSON: negative for
// none.
static double percent_of(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : -1;
}

static double error_percent(const struct breaker_status *status)
{
    return percent_of(status->window_failures + status->window_timeouts, outcomes(status));
}

static uint64_t refusals(const struct breaker_status *status)
{
    return status->total_refused_open + status->total_refused_capacity +
           status->total_refused_ramp + status->total_refused_forced;
}

static json_t *percent_json(double percent)
{
    return percent < 0 ? json_null() : json_real(percent);
}

// What is absent, and what a cut left as no UTF-8, is null.
static json_t *text_json(const char *text)
{
    json_t *json = text[0] ? json_string(text) : NULL;
    return json ? json : json_null();
}

// The deadline by the wall clock, UTC; a past one is now.
static void format_until(uint64_t deadline_ns, uint64_t now_ns, char ret_text[32])
{
    struct tm utc;
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    time_t at = (time_t)((clock_wall_ns() + left_ns) / NS_PER_S);
    strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &utc));
}

static json_t *until_json(const struct breaker_status *status, uint64_t now_ns)
{
    char text[32];
    if (status->deadline_ns == 0)
        return json_null();
    format_until(status->deadline_ns, now_ns, text);
    return json_string(text);
}

static json_t *figures_json(const struct breaker_status *status)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "windowSuccesses",
        (json_int_t)status->window_successes, "windowFailures", (json_int_t)status->window_failures,
        "windowTimeouts", (json_int_t)status->window_timeouts, "windowSlow",
        (json_int_t)status->window_slow, "inFlight", (int)status->in_flight, "capacity",
        (int)status->capacity, "probesOut", (int)status->probes_out, "totalOpens",
        (json_int_t)status->total_opens, "totalProbes", (json_int_t)status->total_probes,
        "refusedOpen", (json_int_t)status->total_refused_open, "refusedCapacity",
        (json_int_t)status->total_refused_capacity, "refusedRamp",
        (json_int_t)status->total_refused_ramp, "refusedForced",
        (json_int_t)status->total_refused_forced);
}

static json_t *breaker_json(const struct breaker_status *status,
                            const struct breaker_definition *definition, uint64_t now_ns)
{
    json_t *entry = json_pack(
        "{s:s, s:s, s:f, s:o, s:o, s:i, s:o, s:i, s:b, s:o, s:o}", "breaker", status->name, "state",
        breaker_state_names[status->state], "sinceSeconds", span_s(status->since_ns, now_ns),
        "until", until_json(status, now_ns), "errorPercent", percent_json(error_percent(status)),
        "errorThresholdPercent", (int)definition->error_threshold_percent, "slowPercent",
        percent_json(percent_of(status->window_slow, outcomes(status))), "slowThresholdPercent",
        (int)definition->slow_threshold_percent, "wouldOpen", status->would_open, "author",
        text_json(status->author), "reason", text_json(status->reason));
    json_object_update_new(entry, figures_json(status));
    return entry;
}

static void format_percent(double percent, uint32_t threshold, char ret_text[32])
{
    char limit[16] = "off";
    if (threshold > 0)
        snprintf(limit, sizeof(limit), "%u%%", threshold);
    if (percent < 0)
        snprintf(ret_text, 32, "-/%s", limit);
    else
        snprintf(ret_text, 32, "%.1f/%s", percent, limit);
}

static void print_breaker(const struct breaker_status *status,
                          const struct breaker_definition *definition, uint64_t now_ns)
{
    char errors[32], slow[32], until[32];
    format_percent(error_percent(status), definition->error_threshold_percent, errors);
    format_percent(percent_of(status->window_slow, outcomes(status)),
                   definition->slow_threshold_percent, slow);
    printf("%-16s %-13s %8.0fs %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %11s %11s %5u/%-5u %6" PRIu64
           " %8" PRIu64,
           status->name, breaker_state_names[status->state], span_s(status->since_ns, now_ns),
           status->window_successes, status->window_failures, status->window_timeouts, errors, slow,
           status->in_flight, status->capacity, status->total_opens, refusals(status));
    if (status->deadline_ns > 0) {
        format_until(status->deadline_ns, now_ns, until);
        printf("  %s %s", status->state == BREAKER_OPEN ? "probes from" : "until", until);
    }
    if (status->author[0])
        printf("  by %s: %s", status->author, status->reason);
    puts(status->would_open ? "  WOULD HAVE OPENED" : "");
}

void valvectl_show_breakers(struct breaker_view *view, uint64_t now_ns, json_t *list)
{
    struct breaker_status status;
    if (!list)
        printf("%-16s %-13s %9s %8s %8s %8s %11s %11s %11s %6s %8s\n", "BREAKER", "STATE", "SINCE",
               "SUCCESS", "FAILURE", "TIMEOUT", "ERRORS", "SLOW", "IN FLIGHT", "OPENS", "REFUSED");
    for (uint32_t i = 0; breaker_next(view, &i, now_ns, &status); i++) {
        const struct breaker_definition *definition = breaker_definition_at(view, i);
        if (list)
            json_array_append_new(list, breaker_json(&status, definition, now_ns));
        else
            print_breaker(&status, definition, now_ns);
    }
}

int command_breakers(struct valvectl *ctl)
{
    struct segment *segment;
    struct breaker_view *view = NULL;
    int result = valvectl_open_segment(ctl, &segment);
    if (result != VALVECTL_OK)
        return result;
    int error = breaker_attach(segment, NULL, &view);
    if (error < 0) {
        fprintf(stderr, "valvectl: the segment's breakers cannot be read: %s\n", strerror(-error));
        segment_close(&segment);
        return VALVECTL_UNREACHABLE;
    }
    json_t *list = ctl->json ? json_array() : NULL;
    valvectl_show_breakers(view, clock_mono_ns(), list);
    if (list) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        puts("");
        json_decref(list);
    }
    breaker_detach(&view);
    segment_close(&segment);
    return VALVECTL_OK;
}
