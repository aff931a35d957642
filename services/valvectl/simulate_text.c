#include <jansson.h>

#include "simulate.h"

static double hours_of(const struct trace *trace)
{
    double seconds = trace->samples[trace->n - 1].values[TRACE_TIME] -
                     trace->samples[0].values[TRACE_TIME] + trace->step_s;
    return seconds / 3600;
}

static int name_width(const struct simulate_report *report)
{
    int width = 6;
    for (size_t i = 0; i < report->n_runs; i++) {
        int len = snprintf(NULL, 0, "%s", report->runs[i].name);
        width = len > width ? len : width;
    }
    return width;
}

void simulate_print(const struct simulate_report *report, FILE *out)
{
    int width = name_width(report);
    fprintf(out, "%s: %zu samples of %.6g s, %.1f h; target %.0f %% CPU, ready after %u s\n\n",
            report->trace_name, report->trace->n, report->trace->step_s, hours_of(report->trace),
            report->model->over_percent, report->model->start_delay_s);
    fprintf(out, "%-*s %14s %12s %12s %8s %8s %6s %6s %10s\n", width, "POLICY", "INSTANCE-HOURS",
            "OVER MIN", "REFUSED", "REFUSED%", "CHANGES", "FLIPS", "BLIND", "INSTANCES");
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct simulation_result *result = &report->runs[i].result;
        double percent = result->asked > 0 ? 100 * result->refused / result->asked : 0;
        fprintf(out, "%-*s %14.2f %12.2f %12.0f %8.3f %8u %6u %6u %5u-%u\n", width,
                report->runs[i].name, result->instance_hours, result->minutes_over, result->refused,
                percent, result->changes, result->flips, result->blind, result->least,
                result->most);
    }
    for (size_t i = 0; i < report->n_runs; i++)
        if (report->runs[i].result.broken > 0)
            fprintf(out, "\n%s BROKE A PROMISE %u times, first at %s\n", report->runs[i].name,
                    report->runs[i].result.broken, report->runs[i].result.first_broken);
}

static json_t *run_json(const struct simulated *run)
{
    const struct simulation_result *result = &run->result;
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "policy",
                     run->name, "instanceHours", result->instance_hours, "minutesOverTarget",
                     result->minutes_over, "refusedRequests", result->refused, "askedRequests",
                     result->asked, "changes", (int)result->changes, "flips", (int)result->flips,
                     "decisions", (int)result->decisions, "blind", (int)result->blind,
                     "leastInstances", (int)result->least, "mostInstances", (int)result->most,
                     "brokenPromises", (int)result->broken);
}

void simulate_print_json(const struct simulate_report *report, FILE *out)
{
    json_t *runs = json_array();
    for (size_t i = 0; i < report->n_runs; i++)
        json_array_append_new(runs, run_json(&report->runs[i]));
    json_t *root =
        json_pack("{s:s, s:i, s:f, s:f, s:f, s:i, s:o}", "trace", report->trace_name, "samples",
                  (int)report->trace->n, "stepSeconds", report->trace->step_s, "hours",
                  hours_of(report->trace), "targetPercent", report->model->over_percent,
                  "startDelaySeconds", (int)report->model->start_delay_s, "policies", runs);
    json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    fputs("\n", out);
    json_decref(root);
}
