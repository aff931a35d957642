// The trace's form and the model's arithmetic. What the library decides has tests of its own.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulation.h"

static char reason[TRACE_REASON_MAX];

static int parse(const char *text, struct trace *ret_trace)
{
    return trace_parse("t.csv", text, strlen(text), ret_trace, reason);
}

// The same load all the time, at 15 s.
static struct trace steady(double rps, double cpu_load, double hours)
{
    struct trace trace = {.step_s = 15, .n = (size_t)(hours * 240)};
    trace.samples = calloc(trace.n, sizeof(*trace.samples));
    for (size_t i = 0; i < trace.n; i++) {
        trace.samples[i] = trace_sample_unknown(15.0 * (double)i);
        trace.samples[i].values[TRACE_RPS] = rps;
        trace.samples[i].values[TRACE_CPU] = cpu_load;
    }
    return trace;
}

static struct simulation_result run(const struct trace *trace, const struct advice_policy *policy,
                                    uint32_t delay_s)
{
    const struct simulation_model model = {delay_s, 0, 70};
    struct simulation_result result;
    cr_assert_eq(simulation_run(trace, policy, &model, &result), 0);
    cr_assert_eq(result.broken, 0, "%s", result.first_broken);
    return result;
}

Test(simulation, a_trace_is_read_as_it_was_written)
{
    struct trace trace;
    struct trace_sample sample = trace_sample_unknown(12.5);
    char text[512] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    sample.values[TRACE_RPS] = 100.25;
    sample.values[TRACE_DEPENDENCY] = 1;
    trace_write_head(out);
    trace_write_sample(out, &sample);
    sample.values[TRACE_TIME] = 27.5;
    trace_write_sample(out, &sample);
    fclose(out);
    cr_assert_eq(parse(text, &trace), 0, "%s", reason);
    cr_assert_eq(trace.n, 2);
    cr_assert_eq(trace.step_s, 15);
    cr_assert_eq(trace.samples[0].values[TRACE_RPS], 100.25);
    cr_assert(isnan(trace.samples[0].values[TRACE_CPU]));
    cr_assert_eq(trace.samples[1].values[TRACE_TIME], 27.5);
    trace_fini(&trace);
}

Test(simulation, columns_may_be_few_and_in_any_order_behind_the_time)
{
    struct trace trace;
    cr_assert_eq(
        parse("# valvechain-trace 1\r\n# a remark\ntime_s,cpu_load,rps\n0,70,100\n15,,\n", &trace),
        0, "%s", reason);
    cr_assert_eq(trace.samples[0].values[TRACE_CPU], 70);
    cr_assert(isnan(trace.samples[1].values[TRACE_RPS]));
    trace_fini(&trace);
}

Test(simulation, what_is_no_trace_is_refused_with_line_and_reason)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "first line"},
        {"time_s,rps\n0,1\n", "first line"},
        {"# valvechain-trace 1\nrps,time_s\n", "begin with the column time_s"},
        {"# valvechain-trace 1\ntime_s,cpu\n", "allowed: time_s, rps"},
        {"# valvechain-trace 1\ntime_s,rps,rps\n", "one twice"},
        {"# valvechain-trace 1\ntime_s,rps\n0,1\n0,1\n", "t.csv:4: \"time_s\" is not later"},
        {"# valvechain-trace 1\ntime_s,rps\n0,1\n1,-1\n", "0 or more"},
        {"# valvechain-trace 1\ntime_s,rps\n0,1\n1,nan\n", "\"nan\" is no number"},
        {"# valvechain-trace 1\ntime_s,rps\n0,1\n1,0x10\n", "\"0x10\" is no number"},
        {"# valvechain-trace 1\ntime_s,rps\n0,1\n1,2,3\n", "one cell too many"},
        {"# valvechain-trace 1\ntime_s,rps\n0,1\n1\n", "too few cells"},
        {"# valvechain-trace 1\ntime_s,rps\n0,1\n,1\n", "no time_s"},
        {"# valvechain-trace 1\ntime_s,rps\n0,1\n", "fewer than two samples"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct trace trace;
        cr_assert_lt(parse(cases[i].text, &trace), 0);
        cr_assert(strstr(reason, cases[i].words), "%s: %s", cases[i].text, reason);
    }
}

Test(simulation, hours_refusals_and_minutes_are_those_of_the_model)
{
    struct trace trace = steady(100, 300, 1);
    struct advice_policy policy = advice_policy_default();
    policy.min_instances = policy.max_instances = 2;
    struct simulation_result result = run(&trace, &policy, 30);
    cr_assert_float_eq(result.instance_hours, 2, 1e-9);
    cr_assert_float_eq(result.asked, 360000, 1e-6);
    cr_assert_float_eq(result.refused, 120000, 1e-6); // 300 % of work on two
    cr_assert_float_eq(result.minutes_over, 60, 1e-9);
    cr_assert(result.changes == 0 && result.least == 2 && result.most == 2);
    cr_assert_eq(result.decisions, 240);
    simulation_result_fini(&result);
    trace_fini(&trace);
}

Test(simulation, a_longer_start_refuses_more_and_costs_the_same)
{
    struct trace trace = steady(1000, 700, 1);
    struct advice_policy policy = advice_policy_hpa(70, 1, 20);
    struct simulation_result quick = run(&trace, &policy, 15), slow = run(&trace, &policy, 300);
    cr_assert_eq(quick.most, 10);
    cr_assert_lt(quick.refused, slow.refused);
    cr_assert_lt(quick.minutes_over, slow.minutes_over);
    simulation_result_fini(&quick);
    simulation_result_fini(&slow);
    trace_fini(&trace);
}

Test(simulation, without_data_it_is_blind_and_nothing_changes)
{
    struct trace trace = steady(100, 140, 2);
    struct advice_policy policy = advice_policy_hpa(70, 1, 20);
    for (size_t i = 240; i < trace.n; i++)
        trace.samples[i] = trace_sample_unknown(15.0 * (double)i);
    struct simulation_result result = run(&trace, &policy, 30);
    cr_assert_eq(result.instances[239], 2);
    cr_assert_eq(result.instances[trace.n - 1], 2);
    cr_assert_gt(result.blind, 230);
    simulation_result_fini(&result);
    trace_fini(&trace);
}
