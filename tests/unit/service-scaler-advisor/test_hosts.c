#include <criterion/criterion.h>
#include <stdio.h>

#include "base/clock.h"
#include "hosts.h"

static struct hosts hosts;

static void start(void)
{
    hosts_init(&hosts, 5 * NS_PER_S, 60 * NS_PER_S);
}
TestSuite(hosts, .init = start);

// A host's snapshot `s` seconds into its life, whose wall clock is off by skew_s.
static struct host_report report(const char *host, double s, double rate, double skew_s)
{
    return (struct host_report){
        .host = host,
        .instance = "1",
        .sequence = (uint64_t)s + 1,
        .wall_ns = (uint64_t)((1.7e9 + skew_s + s) * 1e9),
        .uptime_ms = (uint64_t)(s * 1000),
        .requests_total = (uint64_t)(1000 + rate * s),
        .rate_known = true,
        .cpu_known = true,
        .cpu_percent = 50,
        .instances = 2,
    };
}

static bool take(const struct host_report *given, double at_s)
{
    return hosts_take(&hosts, (uint64_t)(at_s * 1e9), given);
}

static bool say(const char *host, double at_s, double s, double rate)
{
    struct host_report given = report(host, s, rate, 0);
    return take(&given, at_s);
}

static struct hosts_sum sum_at(double at_s)
{
    struct hosts_sum sum;
    hosts_sum(&hosts, (uint64_t)(at_s * 1e9), &sum);
    return sum;
}

Test(hosts, rates_and_instances_add_up_whatever_the_clocks_say)
{
    struct host_report early = report("b", 50, 30, -1e8), later = report("b", 51, 30, -1e8);
    say("a", 100, 10, 100);
    take(&early, 100.3);
    struct hosts_sum sum = sum_at(100.5);
    cr_assert_eq(sum.rate_measured, 0); // one report is no rate
    cr_assert_eq(sum.instances, 4);
    say("a", 101, 11, 100);
    take(&later, 101.3);
    sum = sum_at(101.5);
    cr_assert_eq(sum.hosts, 2);
    cr_assert_eq(sum.rate_measured, 4);
    cr_assert_float_eq(sum.requests_per_s, 130, 0.001);
    cr_assert_float_eq(sum.cpu.percent, 50, 0.001);
}

Test(hosts, averages_are_weighted_by_instances_and_response_times_by_rates)
{
    for (int s = 0; s < 2; s++) {
        struct host_report a = report("a", s, 10, 0), b = report("b", s, 30, 0);
        a.instances = 1;
        b.instances = 3;
        a.cpu_percent = 10;
        b.cpu_percent = 90;
        a.response_known = b.response_known = true;
        a.response_ms = 100;
        b.response_ms = 20;
        b.breakers_open = (uint32_t)s;
        take(&a, 100 + s);
        take(&b, 100 + s);
    }
    struct hosts_sum sum = sum_at(101);
    cr_assert_float_eq(sum.cpu.percent, 70, 0.001);
    cr_assert_float_eq(sum.response_ms, 40, 0.001);
    cr_assert(sum.response_known && sum.dependency_open);
    cr_assert_eq(sum.memory.measured, 0);
}

Test(hosts, a_restart_and_a_fallen_counter_make_no_step_up_or_down)
{
    for (int s = 0; s < 5; s++)
        say("a", 100 + s, 1000 + s, 100);
    cr_assert_float_eq(sum_at(104).requests_per_s, 100, 0.001);
    // Sequence, uptime and counters from the start; its start by the wall clock is later.
    struct host_report reborn = report("a", 0, 100, 1005);
    take(&reborn, 105.5);
    cr_assert_float_eq(sum_at(105.6).requests_per_s, 100, 0.001);
    struct host_report next = report("a", 1, 100, 1005);
    take(&next, 106.5);
    cr_assert_float_eq(sum_at(106.6).requests_per_s, 100, 0.001);
    cr_assert_eq(hosts.restarts, 1);
    struct host_report fallen = report("a", 2, 100, 1005);
    fallen.requests_total = 3; // a process's counters went with its slot
    take(&fallen, 107.5);
    cr_assert_float_eq(sum_at(107.6).requests_per_s, 100, 0.001);
    struct host_report on = report("a", 3, 100, 1005);
    on.requests_total = 103;
    take(&on, 108.5);
    cr_assert_float_eq(sum_at(108.6).requests_per_s, 100, 0.001);
}

Test(hosts, lost_and_repeated_messages_change_no_rate)
{
    say("a", 100, 10, 100);
    say("a", 109, 19, 100); // eight were lost
    cr_assert_float_eq(sum_at(109).requests_per_s, 100, 0.001);
    cr_assert_not(say("a", 109.1, 19, 100)); // by another way
    cr_assert_not(say("a", 109.1, 18, 100));
    cr_assert_eq(hosts.repeated, 2);
    say("a", 110, 20, 100);
    cr_assert_float_eq(sum_at(110).requests_per_s, 100, 0.001);
    cr_assert_eq(sum_at(110).hosts, 1);
}

Test(hosts, what_was_long_under_way_is_not_news)
{
    say("a", 100, 10, 100);
    say("a", 101, 11, 100);
    cr_assert(say("a", 106, 12, 100)); // 4 s late
    struct hosts_sum sum;
    for (int s = 0; s < 100; s++) { // longer than a host is remembered that says nothing
        cr_assert_not(say("a", 112 + s, 13 + s, 500)); // 9 s late
        sum = sum_at(112.5 + s);
    }
    cr_assert_eq(hosts.late, 100);
    cr_assert(sum.hosts == 0 && sum.silent == 1 && sum.missing == 2 && sum.rate_measured == 0);
    cr_assert(say("a", 222, 132, 100)); // in time again
    cr_assert_float_eq(sum_at(222).requests_per_s, 100, 0.001);
}

Test(hosts, two_oscillators_that_part_are_not_lateness)
{
    double at = 100, s = 10;
    for (int i = 0; i < 200000; i++, at += 1.0001, s += 1) // 100 ppm over two days: 20 s
        cr_assert(say("a", at, s, 1), "after %d s", i);
}

Test(hosts, who_is_silent_is_missing_and_then_gone)
{
    say("a", 100, 10, 100);
    say("b", 100, 10, 100);
    say("a", 104.9, 15, 100);
    struct hosts_sum sum = sum_at(105.5);
    cr_assert(sum.hosts == 1 && sum.silent == 1 && sum.instances == 2 && sum.missing == 2);
    say("a", 160, 70, 100);
    sum = sum_at(160.5);
    cr_assert(sum.hosts == 1 && sum.silent == 0 && sum.missing == 0);
    cr_assert_eq(hosts.n, 1);
    cr_assert_str_eq(hosts.hosts[0].name, "a/1");
}

Test(hosts, more_hosts_than_there_is_room_for_are_counted)
{
    char name[16];
    for (int i = 0; i < HOSTS_MAX + 3; i++) {
        snprintf(name, sizeof(name), "h%d", i);
        cr_assert_eq(say(name, 100, 1, 1), i < HOSTS_MAX);
    }
    cr_assert_eq(hosts.refused, 3);
    cr_assert_eq(sum_at(101).instances, 2 * HOSTS_MAX);
}

Test(hosts, counters_that_stand_still_because_nothing_is_counted_are_no_rate)
{
    say("a", 100, 10, 100);
    say("a", 101, 11, 100);
    struct host_report given = report("a", 12, 100, 0);
    given.rate_known = false;
    take(&given, 102);
    struct hosts_sum sum = sum_at(102);
    cr_assert_eq(sum.rate_measured, 0);
    cr_assert_eq(sum.instances, 2);
}
