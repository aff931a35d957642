#include "metric/exemplar.h"

static uint64_t mixed(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    return hash ^ (hash >> 32);
}

static uint64_t check_sum(const struct metric_exemplar *exemplar)
{
    uint64_t hash = mixed(mixed(1, exemplar->trace.high), exemplar->trace.low);
    return mixed(mixed(hash, exemplar->value), exemplar->wall_s) & UINT32_MAX;
}

static void put_word(_Atomic uint64_t *words, int at, uint64_t value)
{
    atomic_store_explicit(&words[at], value, memory_order_relaxed);
}

static uint64_t word_at(const _Atomic uint64_t *words, int at)
{
    return atomic_load_explicit(&words[at], memory_order_relaxed);
}

void exemplar_store(_Atomic uint64_t *words, const struct metric_exemplar *exemplar)
{
    put_word(words, 0, exemplar->trace.high);
    put_word(words, 1, exemplar->trace.low);
    put_word(words, 2, exemplar->value);
    put_word(words, 3, (uint64_t)exemplar->wall_s << 32 | check_sum(exemplar));
}

bool exemplar_load(const _Atomic uint64_t *words, struct metric_exemplar *ret_exemplar)
{
    uint64_t last = word_at(words, 3);
    const struct metric_exemplar exemplar = {.trace = {word_at(words, 0), word_at(words, 1)},
                                             .value = word_at(words, 2),
                                             .wall_s = (uint32_t)(last >> 32)};
    if ((exemplar.trace.high | exemplar.trace.low) == 0 ||
        check_sum(&exemplar) != (last & UINT32_MAX))
        return false;
    *ret_exemplar = exemplar;
    return true;
}
