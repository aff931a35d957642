#include "breaker/rolling.h"

#include "breaker/state.h"
#include "breaker/tag.h"

#define HASH_MULTIPLIER UINT64_C(0x9e3779b97f4a7c15) // Fibonacci hashing: 2^64 / golden ratio

static uint64_t bucket_word(uint32_t epoch, uint32_t count)
{
    return (uint64_t)epoch << 32 | count;
}

struct rolling_shape rolling_shape_of(const struct breaker_definition *definition)
{
    uint64_t bucket_ns = definition->rolling_timeout_ns / definition->rolling_buckets;
    bucket_ns = bucket_ns > 0 ? bucket_ns : 1;
    uint32_t buckets = definition->rolling_buckets;
    uint64_t hash = (bucket_ns * (BREAKER_BUCKETS_MAX + 1) + buckets) * HASH_MULTIPLIER;
    // Odd, so that a zeroed line carries no valid tag.
    return (struct rolling_shape){
        .bucket_ns = bucket_ns, .buckets = buckets, .hash = hash >> 20 | 1};
}

static uint64_t line_tag(const struct rolling_shape *shape, uint32_t generation)
{
    return tag_pack(generation, shape->hash);
}

// The owner alone stores here; the release makes the emptied buckets older than the tag for
// readers.
static void move_cursor(struct breaker_line *line, struct rolling_cursor *cursor,
                        const struct rolling_shape *shape, uint64_t tag, uint64_t now_ns)
{
    if (atomic_load_explicit(&line->window_tag, memory_order_relaxed) != tag) {
        for (uint32_t i = 0; i < BREAKER_BUCKETS_MAX; i++)
            for (uint32_t kind = 0; kind < BREAKER_KINDS; kind++)
                atomic_store_explicit(&line->buckets[i][kind], 0, memory_order_relaxed);
        atomic_store_explicit(&line->window_tag, tag, memory_order_release);
    }
    uint64_t epoch = now_ns / shape->bucket_ns;
    *cursor = (struct rolling_cursor){.tag = tag,
                                      .end_ns = (epoch + 1) * shape->bucket_ns,
                                      .epoch = (uint32_t)epoch,
                                      .bucket = (uint32_t)(epoch % shape->buckets)};
}

static void add_one(_Atomic uint64_t *word, uint32_t epoch)
{
    uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
    uint32_t count = old >> 32 == epoch ? (uint32_t)old : 0;
    count += count < UINT32_MAX;
    atomic_store_explicit(word, bucket_word(epoch, count), memory_order_release);
}

void rolling_add(struct breaker_line *line, struct rolling_cursor *cursor,
                 const struct rolling_shape *shape, uint32_t generation,
                 enum breaker_outcome outcome, bool slow, uint64_t now_ns)
{
    uint64_t tag = line_tag(shape, generation);
    if (cursor->tag != tag || now_ns >= cursor->end_ns)
        move_cursor(line, cursor, shape, tag, now_ns);
    add_one(&line->buckets[cursor->bucket][outcome], cursor->epoch);
    if (slow)
        add_one(&line->buckets[cursor->bucket][BREAKER_SLOW], cursor->epoch);
}

void rolling_sum(const struct breaker_line *line, const struct rolling_shape *shape,
                 uint32_t generation, uint64_t now_ns, struct rolling_counts *counts)
{
    uint64_t tag = atomic_load_explicit(&line->window_tag, memory_order_acquire);
    if (tag != line_tag(shape, generation))
        return;
    uint32_t epoch = (uint32_t)(now_ns / shape->bucket_ns);
    for (uint32_t i = 0; i < shape->buckets; i++)
        for (uint32_t kind = 0; kind < BREAKER_KINDS; kind++) {
            uint64_t word = atomic_load_explicit(&line->buckets[i][kind], memory_order_acquire);
            uint32_t age = epoch - (uint32_t)(word >> 32);
            // A writer's clock reading may be younger than the judge's: that counts as now.
            if (age < shape->buckets || -age < shape->buckets)
                counts->n[kind] += (uint32_t)word;
        }
}

enum rolling_verdict rolling_judge(const struct rolling_counts *counts, uint64_t streak,
                                   const struct breaker_definition *definition,
                                   enum breaker_rule *ret_rule)
{
    uint64_t bad = counts->n[BREAKER_FAILURE] + counts->n[BREAKER_TIMEOUT];
    uint64_t volume = bad + counts->n[BREAKER_SUCCESS];
    uint64_t least = definition->volume_threshold;
    uint64_t judged = volume < least ? least : volume;
    if (definition->consecutive > 0 && streak >= definition->consecutive) {
        *ret_rule = BREAKER_RULE_CONSECUTIVE;
        return ROLLING_TRIP;
    }
    if (state_share_opens(bad, judged, definition->error_threshold_percent, definition))
        *ret_rule = BREAKER_RULE_ERROR_RATE;
    else if (state_share_opens(counts->n[BREAKER_SLOW], judged, definition->slow_threshold_percent,
                               definition))
        *ret_rule = BREAKER_RULE_SLOW_RATE;
    else
        return ROLLING_GOOD;
    return volume < least ? ROLLING_WAIT : ROLLING_TRIP;
}
