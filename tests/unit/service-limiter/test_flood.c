// When new keys are a flood, and when it is over: virtual time, readings once a second.
#include <criterion/criterion.h>

#include "base/clock.h"
#include "flood.h"

static const struct flood_rules rules = {.keys_per_s = 100, .calm_ns = 10 * NS_PER_S};

struct world {
    struct flood flood;
    struct flood_reading reading;
    struct flood_evidence evidence;
};

static enum flood_change second(struct world *world, uint64_t new_keys)
{
    world->reading.at_ns += NS_PER_S;
    world->reading.new_keys += new_keys;
    return flood_read(&world->flood, &rules, &world->reading, &world->evidence);
}

// Returns how often the last change was seen in `seconds` of the same traffic.
static unsigned seconds(struct world *world, unsigned n, uint64_t new_keys,
                        enum flood_change change)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < n; i++)
        seen += second(world, new_keys) == change;
    return seen;
}

Test(flood, counts_of_the_time_before_the_first_reading_are_none)
{
    struct world world = {.reading = {.new_keys = 1000000}};
    cr_assert_eq(seconds(&world, 60, 0, FLOOD_GOES_ON), 60U);
}

Test(flood, a_burst_that_is_none_in_the_mean_is_none)
{
    struct world world = {0};
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(second(&world, 0), FLOOD_GOES_ON);
        cr_assert_eq(second(&world, 499), FLOOD_GOES_ON, "the callers who come back");
        cr_assert_eq(seconds(&world, 5, 0, FLOOD_GOES_ON), 5U);
    }
}

Test(flood, a_strong_one_is_seen_at_once_a_weak_one_after_five_seconds)
{
    struct world strong = {0}, weak = {0};
    second(&strong, 0);
    cr_assert_eq(second(&strong, 500), FLOOD_BEGINS);
    cr_assert_eq(strong.evidence.keys_per_s, 500U);
    second(&weak, 0);
    cr_assert_eq(seconds(&weak, 4, 100, FLOOD_GOES_ON), 4U);
    cr_assert_eq(second(&weak, 100), FLOOD_BEGINS);
    cr_assert_eq(weak.evidence.keys_per_s, 100U);
    cr_assert_eq(weak.evidence.new_keys, 500U);
    cr_assert_eq(weak.evidence.duration_ns, 5 * NS_PER_S);
}

Test(flood, traffic_around_the_rate_does_not_flap)
{
    struct world world = {0};
    unsigned begins = 0, ends = 0;
    second(&world, 0);
    for (int i = 0; i < 300; i++) {
        enum flood_change change = second(&world, i % 9 == 0 ? 130 : i % 2 ? 45 : 95);
        begins += change == FLOOD_BEGINS;
        ends += change == FLOOD_ENDS;
    }
    cr_assert_leq(begins, 1U);
    cr_assert_eq(ends, 0U);
}

Test(flood, its_end_comes_after_the_calm_and_tells_of_the_whole)
{
    struct world world = {0};
    second(&world, 0);
    cr_assert_eq(seconds(&world, 20, 200, FLOOD_BEGINS), 1U);
    world.reading.shared += 40;
    world.reading.freed += 7;
    cr_assert_eq(second(&world, 260), FLOOD_GOES_ON);
    cr_assert_eq(seconds(&world, 9, 0, FLOOD_GOES_ON), 9U);
    cr_assert_eq(second(&world, 49), FLOOD_ENDS, "a few are no flood");
    cr_assert_eq(world.evidence.new_keys, 20 * 200 + 260U);
    cr_assert_eq(world.evidence.shared, 40U);
    cr_assert_eq(world.evidence.freed, 7U);
    cr_assert_eq(world.evidence.peak_per_s, 300U);
    cr_assert_eq(world.evidence.duration_ns, 21 * NS_PER_S, "without the calm");
    cr_assert_eq(seconds(&world, 60, 40, FLOOD_GOES_ON), 60U, "and it is over once");
}

Test(flood, decisions_in_shared_cells_count)
{
    struct world world = {0};
    second(&world, 0);
    world.reading.shared += 500;
    cr_assert_eq(second(&world, 0), FLOOD_BEGINS, "the table is full: no key gets a cell");
    cr_assert_eq(world.evidence.new_keys, 0U);
}

Test(flood, counters_that_went_back_begin_anew)
{
    struct world world = {0};
    second(&world, 0);
    cr_assert_eq(second(&world, 1000), FLOOD_BEGINS);
    world.reading.new_keys = 3;
    cr_assert_eq(seconds(&world, 9, 0, FLOOD_GOES_ON), 9U);
    cr_assert_eq(seconds(&world, 2, 0, FLOOD_ENDS), 1U);
    cr_assert_eq(world.evidence.new_keys, 0U, "nobody knows");
}

Test(flood, a_rate_of_0_turns_it_off_and_ends_one)
{
    struct world world = {0};
    const struct flood_rules off = {.keys_per_s = 0, .calm_ns = NS_PER_S};
    second(&world, 0);
    cr_assert_eq(second(&world, 1000), FLOOD_BEGINS);
    world.reading.at_ns += NS_PER_S;
    cr_assert_eq(flood_read(&world.flood, &off, &world.reading, &world.evidence), FLOOD_ENDS);
    world.reading.at_ns += NS_PER_S;
    world.reading.new_keys += 100000;
    cr_assert_eq(flood_read(&world.flood, &off, &world.reading, &world.evidence), FLOOD_GOES_ON);
}
