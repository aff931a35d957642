#include "limit/key_state.h"

#include <errno.h>
#include <string.h>

#include "limit/decision.h"
#include "limit/key.h"
#include "limit/policy.h"

static void make_trial(struct limit_view *view, uint32_t index, const struct limit_key *key,
                       struct trial *ret_trial)
{
    const struct limit_policy *policy = &view->book.policies[index];
    struct trial trial = {.meter = &view->meters[index], .policy = index, .limit = policy->limit};
    struct limit_facts facts;
    limit_key_facts(key, &facts);
    trial.hash = key_hash(view->hash_key, &facts, key->parts, policy);
    if ((view->has_overrides >> index & 1) &&
        !view_override(view, index, trial.hash, &trial.limit)) {
        trial.limit = UINT64_MAX;
    }
    trial.key = table_key_of(&trial.meter->range, trial.hash);
    *ret_trial = trial;
}

static int look(struct limit_view *view, struct trial *trial, uint64_t *ret_now_ns)
{
    int r = -EAGAIN;
    for (int tries = 0; tries < TRIES_MAX && r == -EAGAIN; tries++) {
        *ret_now_ns = view_now_ns(view);
        meter_set_limit(trial->meter, trial->limit == UINT64_MAX
                                          ? view->book.policies[trial->policy].limit
                                          : trial->limit);
        meter_set_clock(trial->meter, *ret_now_ns);
        table_find(&trial->key, meter_live_from(trial->meter), &trial->place);
        trial->reading = (struct cell_reading){0};
        r = trial->place.cell ? meter_look(trial->meter, trial->place.cell, &trial->reading) : 0;
    }
    return r;
}

int key_state_read(struct limit_view *view, uint32_t policy, const struct limit_key *key,
                   struct key_state *ret_state)
{
    limit_refresh(view);
    struct trial trial;
    uint64_t now_ns = 0;
    if (policy >= view->book.n || view->book.policies[policy].unlimited) {
        return -EOPNOTSUPP;
    }
    make_trial(view, policy, key, &trial);
    int r = look(view, &trial, &now_ns);
    if (r < 0) {
        return r;
    }
    uint64_t used = trial.reading.used, most = trial.meter->most;
    uint64_t freed_ns = used > 0 ? meter_freed_ns(trial.meter, &trial.reading, 1) : now_ns;
    *ret_state = (struct key_state){.limit = trial.limit == UINT64_MAX ? UINT64_MAX : most,
                                    .used = used,
                                    .remaining = most > used ? most - used : 0,
                                    .reset_ns = freed_ns > now_ns ? freed_ns - now_ns : 0,
                                    .overridden = trial.limit != view->book.policies[policy].limit,
                                    .in_table = trial.place.cell != NULL,
                                    .shares_cell = trial.place.overflow};
    return 0;
}

int key_state_reset(struct limit_view *view, uint32_t policy, const struct limit_key *key)
{
    limit_refresh(view);
    struct trial trial;
    uint64_t now_ns;
    if (view->read_only) {
        return -EROFS;
    }
    if (policy >= view->book.n || view->book.policies[policy].unlimited) {
        return -EOPNOTSUPP;
    }
    make_trial(view, policy, key, &trial);
    int r = look(view, &trial, &now_ns);
    if (r < 0 || !trial.place.cell) {
        return r;
    }
    if (trial.place.overflow) {
        return -EBUSY;
    }
    if (meter_is_slim(&view->book.policies[policy])) {
        atomic_store(&trial.place.cell->last, 0); // dead, as a cell that nobody used
        return 0;
    }
    for (uint32_t i = 0; i < CELL_COUNT_WORDS; i++) { // a zero word is empty in every wide cell
        atomic_store(&meter_wide(trial.place.cell)->counts[i], 0);
    }
    return 0;
}

void key_state_names(const struct limit_view *view, uint32_t policy, const struct limit_key *key,
                     struct key_names *ret_names)
{
    const struct limit_policy *of = &view->book.policies[policy];
    struct limit_facts facts;
    limit_key_facts(key, &facts);
    ret_names->identity = of->identity;
    ret_names->hash = key_hash(view->hash_key, &facts, key->parts, of);
    key_id(&facts, key->parts, of, ret_names->id);
}

uint64_t key_state_limit_max(const struct limit_policy *policy)
{
    uint64_t most = 0;
    for (uint64_t step = UINT64_C(1) << 31; step > 0; step >>= 1) {
        if (policy_can_count(policy, most + step)) {
            most += step;
        }
    }
    return most;
}
