#include "endpoint_health.h"

// Seen together, a long outage must not make later ones endless: more than this is not remembered.
#define EJECTIONS_MAX 1000

static void change(struct endpoint_health *health, enum endpoint_state state, uint64_t until_ms)
{
    health->state = state;
    health->until_ms = until_ms;
    health->streak = 0;
    health->ticket++;
}

// In, and long enough for some of the ejections to be forgotten.
static void forget(struct endpoint_health *health, const struct config_ejection *rules,
                   uint64_t now_ms)
{
    while (health->ejections > 0 && now_ms >= health->until_ms) {
        health->ejections--;
        health->until_ms += rules->time_ms;
    }
}

static void eject(struct endpoint_health *health, const struct config_ejection *rules,
                  uint64_t now_ms)
{
    if (health->state == ENDPOINT_IN) {
        forget(health, rules, now_ms);
    }
    health->ejections += health->ejections < EJECTIONS_MAX ? 1 : 0;
    uint64_t time_ms = rules->time_ms * health->ejections;
    uint64_t max_ms = rules->time_max_ms > rules->time_ms ? rules->time_max_ms : rules->time_ms;
    change(health, ENDPOINT_OUT, now_ms + (time_ms < max_ms ? time_ms : max_ms));
}

uint32_t endpoint_enter(struct endpoint_health *health, const struct config_ejection *rules,
                        uint64_t now_ms)
{
    if (health->state == ENDPOINT_IN || now_ms < health->until_ms) {
        return health->ticket;
    }
    if (health->state == ENDPOINT_OUT) {
        change(health, ENDPOINT_TRIAL, 0);
    }
    health->until_ms = now_ms + rules->time_ms; // should this call never end, another may try then
    return health->ticket;
}

static enum endpoint_change judge_trial(struct endpoint_health *health,
                                        const struct config_ejection *rules,
                                        enum breaker_outcome outcome, uint64_t now_ms)
{
    if (outcome == BREAKER_IGNORED) {
        health->until_ms = now_ms; // it told nothing: the next call tries
        return ENDPOINT_SAME;
    }
    if (outcome == BREAKER_SUCCESS) {
        change(health, ENDPOINT_IN, now_ms + rules->time_ms);
        return ENDPOINT_RETURNED;
    }
    eject(health, rules, now_ms);
    return ENDPOINT_EJECTED;
}

enum endpoint_change endpoint_report(struct endpoint_health *health,
                                     const struct config_ejection *rules, uint32_t ticket,
                                     enum breaker_outcome outcome, bool may_eject, uint64_t now_ms)
{
    if (ticket != health->ticket || health->state == ENDPOINT_OUT) {
        return ENDPOINT_SAME;
    }
    if (health->state == ENDPOINT_TRIAL) {
        return judge_trial(health, rules, outcome, now_ms);
    }
    if (outcome == BREAKER_SUCCESS) {
        health->streak = 0;
    } else if (outcome != BREAKER_IGNORED && health->streak < UINT32_MAX) {
        health->streak++;
    }
    if (rules->consecutive == 0 || health->streak < rules->consecutive || !may_eject) {
        return ENDPOINT_SAME;
    }
    eject(health, rules, now_ms);
    return ENDPOINT_EJECTED;
}

bool endpoint_may_eject(const struct config_ejection *rules, size_t n, size_t n_out)
{
    if (rules->max_percent == 0 || n_out + 1 >= n) {
        return false;
    }
    return n_out == 0 || (n_out + 1) * 100 <= n * rules->max_percent;
}

bool endpoint_panics(const struct config_ejection *rules, size_t n, size_t n_out)
{
    return n_out * 100 > n * rules->panic_percent || (n > 0 && n_out == n);
}
