// valvectl simulate TRACE --policy FILE ...: what policies would have done, beside plain HPA v2.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "simulate.h"
#include "valvectl.h"

#define TARGET_PERCENT 70
#define START_DELAY_S  30

static bool read_number(const char *text, const char *option, uint64_t min, uint64_t max,
                        uint64_t *value)
{
    if (text == NULL || parse_u64(text, min, max, value) == 0)
        return true;
    fprintf(stderr, "valvectl: %s '%s' is none, allowed: %lu to %lu\n", option, text,
            (unsigned long)min, (unsigned long)max);
    return false;
}

static bool read_model(const struct valvectl *ctl, struct simulation_model *ret_model)
{
    uint64_t delay_s = START_DELAY_S, percent = TARGET_PERCENT, instances = 0;
    if (!read_number(ctl->start_delay, "--start-delay", 0, 86400, &delay_s) ||
        !read_number(ctl->target, "--target", 1, 100, &percent) ||
        !read_number(ctl->instances, "--instances", 1, 100000, &instances))
        return false;
    *ret_model = (struct simulation_model){(uint32_t)delay_s, (uint32_t)instances, (double)percent};
    return true;
}

// The policies asked for, or the defaults of the specification; then the reference.
static int load_policies(const struct valvectl *ctl, double percent, struct simulated *runs,
                         size_t *ret_n)
{
    size_t n = 0;
    for (size_t i = 0; i < ctl->n_policies; i++)
        if (simulate_load_policy(ctl->policies[i], &runs[n++]) < 0)
            return -EINVAL;
    if (n == 0)
        runs[n++] = (struct simulated){.name = "defaults", .policy = advice_policy_default()};
    simulate_reference(&runs[0].policy, percent, &runs[n]);
    *ret_n = n + 1;
    return 0;
}

static bool write_svg(const char *path, const struct simulate_report *report)
{
    FILE *file = fopen(path, "we");
    bool ok = file != NULL;
    if (ok)
        simulate_print_svg(report, file);
    ok = ok && !ferror(file);
    if (file != NULL && fclose(file) != 0)
        ok = false;
    if (!ok)
        fprintf(stderr, "valvectl: --svg %s: %s\n", path, strerror(errno));
    return ok;
}

static int report_all(const struct valvectl *ctl, const struct simulate_report *report)
{
    int result = VALVECTL_OK;
    if (ctl->json)
        simulate_print_json(report, stdout);
    else
        simulate_print(report, stdout);
    if (ctl->svg != NULL && !write_svg(ctl->svg, report))
        result = VALVECTL_FINDING;
    for (size_t i = 0; i < report->n_runs; i++)
        if (report->runs[i].result.broken > 0)
            result = VALVECTL_FINDING;
    return result;
}

static int run_all(const struct valvectl *ctl, const struct trace *trace)
{
    struct simulated runs[SIMULATE_POLICIES_MAX + 1];
    struct simulation_model model;
    size_t n, done = 0;
    int result = VALVECTL_FINDING;
    if (!read_model(ctl, &model) || load_policies(ctl, model.over_percent, runs, &n) < 0)
        return result;
    while (done < n && simulation_run(trace, &runs[done].policy, &model, &runs[done].result) == 0)
        done++;
    const struct simulate_report report = {ctl->argv[0], trace, &model, runs, n};
    if (done == n)
        result = report_all(ctl, &report);
    else
        fprintf(stderr, "valvectl: no memory for the simulation\n");
    for (size_t i = 0; i < done; i++)
        simulation_result_fini(&runs[i].result);
    return result;
}

int command_simulate(struct valvectl *ctl)
{
    char reason[TRACE_REASON_MAX];
    struct trace trace;
    if (ctl->argc != 1) {
        fprintf(stderr, "valvectl: simulate takes one trace\n");
        return VALVECTL_FINDING;
    }
    if (trace_read(ctl->argv[0], &trace, reason) < 0) {
        fprintf(stderr, "valvectl: %s\n", reason);
        return VALVECTL_FINDING;
    }
    int result = run_all(ctl, &trace);
    trace_fini(&trace);
    return result;
}
