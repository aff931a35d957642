// The decision: all matching policies are charged, or none.
//
// One try goes through the steps in this order: look at every policy's cell; charge every policy
// (each adds, then sums again); see that every cell still is the key's; and only then read the
// clock, once: it must lie in the epoch that each policy was charged in, and is the instant of
// admission. A try that fails in any step takes back what it charged. The clock's previous reading
// serves as the guess at the epoch, so that a decision reads the clock once; not even that while
// the previous reading is so recent that the present surely lies in the same epoch
// (recent_clock.h), if no policy needs to know the instant itself.
#include "limit/limit.h"

#include <errno.h>

#include "limit/decision.h"
#include "limit/key.h"
#include "limit/limit_lease.h"

#define TRIES_WITH_SHADOW 4
#define CONTENDED_WAIT_NS NS_PER_MS
#define TOGETHER_MAX      16 // decisions whose cells are fetched at once

enum outcome { OUTCOME_AGAIN, OUTCOME_DENIED, OUTCOME_ADMITTED, OUTCOME_WAITS };

// One SipHash for all policies that count by the same key.
static uint64_t hash_of(const struct decision *decision, const struct trial *trial,
                        const struct limit_facts *facts)
{
    for (const struct trial *other = decision->trials; other < trial; other++) {
        if (other->parts == trial->parts && !(trial->parts & LIMIT_KEY_HEADERS) &&
            other->ipv6_prefix_bits == trial->ipv6_prefix_bits) {
            return other->hash;
        }
    }
    return key_hash(decision->view->hash_key, facts, trial->parts,
                    &decision->view->book.policies[trial->policy]);
}

static void find_policies(struct decision *decision, const struct limit_facts *facts)
{
    struct limit_view *view = decision->view;
    uint64_t bits = matcher_bits(&view->matcher, view->book.policies, facts);
    for (; bits != 0 && decision->n < LIMIT_MATCHED_MAX; bits &= bits - 1) {
        uint32_t index = (uint32_t)__builtin_ctzll(bits);
        const struct limit_policy *policy = &view->book.policies[index];
        struct trial *trial = &decision->trials[decision->n++];
        trial->meter = &view->meters[index];
        trial->policy = index;
        trial->shadow = policy->mode == LIMIT_SHADOW;
        trial->parts = key_parts_of(facts, policy->key_parts);
        trial->ipv6_prefix_bits = policy->ipv6_prefix_bits;
        trial->hash = hash_of(decision, trial, facts);
        trial->cost = (facts->cost ? facts->cost : UINT64_C(1)) * (policy->cost ? policy->cost : 1);
        if (trial->meter->kind == METER_HOLD) {
            trial->cost = 1; // one request under way, whatever it costs
        }
        trial->limit = policy->limit;
        if (__builtin_expect(view->has_overrides >> index & 1, 0) &&
            !view_override(view, index, trial->hash, &trial->limit)) {
            decision->n--; // this key is unlimited
            continue;
        }
        trial->key = table_key_of(&trial->meter->range, trial->hash);
        trial->charged = trial->is_new = false;
        if (decision->is_alone) {
            table_prefetch(&trial->key);
        } else {
            table_prefetch_tags(&trial->key);
        }
        trial->leased.state = LEASED_NOT;
        trial->leased.distributed = policy->scope == POLICY_DISTRIBUTED;
        decision->needs_clock |= trial->meter->needs_clock || trial->leased.distributed;
        decision->by_epoch &= trial->meter->by_epoch && !trial->leased.distributed;
    }
}

static int weigh_meter(struct decision *decision, struct trial *trial)
{
    if (trial->meter->limit != trial->limit) {
        meter_set_limit(trial->meter, trial->limit); // gcra then has no clock
    }
    meter_set_clock(trial->meter, decision->now_ns);
    trial->ignored = decision->enforcing_only && trial->shadow;
    if (trial->ignored) {
        trial->place = (struct table_place){0};
    } else {
        uint64_t end_ns = decision->by_epoch ? meter_epoch_end_ns(trial->meter) : UINT64_MAX;
        decision->lasts_ns = end_ns < decision->lasts_ns ? end_ns : decision->lasts_ns;
        table_find(&trial->key, meter_live_from(trial->meter), &trial->place);
    }
    if (!trial->place.cell) {
        trial->reading = (struct cell_reading){0};
    } else {
        int r = meter_look(trial->meter, trial->place.cell, &trial->reading);
        if (r < 0) {
            return r;
        }
    }
    trial->most = trial->meter->most;
    trial->denied = trial->reading.used + trial->cost > trial->most;
    return 0;
}

// Looks without changing anything, and says whether a policy would refuse, else whether one cannot
// say yet.
static int weigh(struct decision *decision, enum outcome *ret_outcome)
{
    bool refused = false, waits = false;
    decision->lasts_ns = UINT64_MAX;
    for (uint32_t i = 0; i < decision->n; i++) {
        struct trial *trial = &decision->trials[i];
        if (!trial->leased.distributed || !leased_weigh(decision, trial)) {
            int r = weigh_meter(decision, trial);
            if (r < 0) {
                return r;
            }
        }
        refused |= trial->denied && !trial->shadow;
        waits |= trial->leased.state == LEASED_ASK && !trial->shadow && !decision->only_looks;
    }
    *ret_outcome = refused ? OUTCOME_DENIED : waits ? OUTCOME_WAITS : OUTCOME_ADMITTED;
    return 0;
}

static void take_back_all(struct decision *decision)
{
    for (uint32_t i = 0; i < decision->n; i++) {
        struct trial *trial = &decision->trials[i];
        if (trial->charged && trial->leased.state != LEASED_NOT) {
            leased_take_back(trial);
        } else if (trial->charged) {
            view_take_back(decision->view, trial->meter, trial->place.cell, trial->cost,
                           &trial->charge);
        }
        trial->charged = false;
    }
}

int trial_charge(struct trial *trial, uint64_t cost, bool is_late)
{
    uint64_t live_from = meter_live_from(trial->meter);
    int r = table_claim(&trial->key, live_from, &trial->place);
    if (r == 0 && trial->place.tentative) {
        bool is_new = !(trial->place.owner & OWNER_RETURNING);
        r = meter_raise(trial->meter, trial->place.cell);
        if (r == 0) {
            r = table_settle(&trial->key, live_from, &trial->place);
        }
        trial->is_new |= r == 0 && is_new;
    }
    trial->charge.owner = trial->place.owner;
    if (r == 0) {
        r = meter_charge(trial->meter, trial->place.cell, cost, is_late, &trial->charge,
                         &trial->reading);
    }
    return r;
}

static int charge_all(struct decision *decision)
{
    for (uint32_t i = 0; i < decision->n; i++) {
        struct trial *trial = &decision->trials[i];
        if (trial->denied || trial->ignored) {
            continue; // a shadow policy: what it would refuse does not count there
        }
        int r;
        if (trial->leased.state != LEASED_NOT) {
            r = leased_charge(decision, trial);
        } else {
            r = trial_charge(trial, trial->cost, false);
            trial->charged = r == 0;
        }
        if (r == -EDQUOT && trial->shadow) {
            trial->denied = true;
        } else if (r < 0) {
            return r;
        }
    }
    for (uint32_t i = 0; i < decision->n; i++) {
        const struct trial *trial = &decision->trials[i];
        if (trial->charged && trial->leased.state == LEASED_NOT &&
            !table_stands(&trial->key, &trial->place)) {
            return -EAGAIN;
        }
    }
    return 0;
}

static bool is_in_epoch(const struct decision *decision)
{
    for (uint32_t i = 0; i < decision->n; i++) {
        const struct trial *trial = &decision->trials[i];
        bool has = trial->leased.state != LEASED_NOT ? leased_has(trial, decision->now_ns)
                                                     : meter_has(trial->meter, decision->now_ns);
        if (!trial->ignored && !has) {
            return false;
        }
    }
    return true;
}

static void read_clock(struct decision *decision)
{
    struct limit_view *view = decision->view;
    view->hint_ticks = recent_ticks();
    decision->now_ns = view->hint_ns = view_now_ns(view);
}

// Is the instant of admission, which is the present, in the epoch of every charge? They were
// charged by the clock's previous reading, which lies there; so does the latest that it can be by
// now.
static bool is_surely_in_epoch(const struct decision *decision)
{
    const struct limit_view *view = decision->view;
    return decision->by_epoch && view->has_ticks && !view->clock_ns &&
           decision->now_ns == view->hint_ns && recent_clock_stands(view->hint_ticks) &&
           decision->now_ns + RECENT_LAG_NS < decision->lasts_ns;
}

// Holds of processes that are gone make room. True: there was one.
static bool free_dead_holds(const struct decision *decision)
{
    bool freed = false;
    for (uint32_t i = 0; i < decision->n; i++) {
        const struct trial *trial = &decision->trials[i];
        if (trial->denied && trial->meter->kind == METER_HOLD && trial->place.cell &&
            !decision->view->read_only) {
            freed |= hold_free_dead(meter_wide(trial->place.cell), &trial->meter->hold,
                                    view_holder_is_dead, decision->view);
        }
    }
    return freed;
}

static enum outcome try_once(struct decision *decision)
{
    enum outcome outcome;
    if (weigh(decision, &outcome) < 0) {
        return OUTCOME_AGAIN;
    }
    if (outcome == OUTCOME_ADMITTED && !decision->only_looks && charge_all(decision) < 0) {
        take_back_all(decision);
        return OUTCOME_AGAIN;
    }
    if (!is_surely_in_epoch(decision)) {
        read_clock(decision);
        if (!is_in_epoch(decision)) {
            take_back_all(decision);
            return OUTCOME_AGAIN;
        }
    }
    return outcome == OUTCOME_DENIED && free_dead_holds(decision) ? OUTCOME_AGAIN : outcome;
}

static uint64_t reset_of(const struct decision *decision, const struct trial *trial)
{
    const struct meter *meter = trial->meter;
    uint64_t used = trial->reading.used, most = trial->most, now_ns = decision->now_ns;
    if (trial->denied && trial->cost > most) {
        return view_never_fits_ns(decision->view, trial->policy, trial->hash, trial->cost,
                                  trial->place.cell, now_ns);
    }
    // Until one more such request fits; where one does already, until the remaining grows.
    uint64_t to_free = used + trial->cost > most ? used + trial->cost - most : 1;
    uint64_t freed_ns =
        trial->denied || used > 0 ? meter_freed_ns(meter, &trial->reading, to_free) : now_ns;
    return freed_ns > now_ns ? freed_ns - now_ns : trial->denied;
}

static void fill_charge(const struct decision *decision, const struct trial *trial,
                        struct limit_charge *ret_charge)
{
    if (trial->leased.state != LEASED_NOT) {
        leased_fill_charge(decision, trial, ret_charge);
        return;
    }
    const struct meter *meter = trial->meter;
    uint64_t used = trial->reading.used, most = trial->most;
    // Field by field: for an initializer of this size compilers take an instruction that costs more
    // than the rest of the verdict.
    ret_charge->ask = LIMIT_ASK_NOTHING;
    ret_charge->leased = ret_charge->store_away = false;
    ret_charge->lease = ret_charge->key_id[0] = ret_charge->key_id[1] = 0;
    ret_charge->lease_due = 0;
    ret_charge->policy = (uint16_t)trial->policy;
    ret_charge->shadow = trial->shadow;
    ret_charge->denied = trial->denied;
    ret_charge->limit = most;
    ret_charge->remaining = most > used ? most - used : 0;
    ret_charge->reset_ns = reset_of(decision, trial);
    ret_charge->identity = meter->identity;
    ret_charge->hash = trial->hash;
    if (trial->charged) {
        ret_charge->cell = (uint32_t)(trial->place.cell - &decision->view->cells->head);
        ret_charge->bucket = trial->charge.bucket;
        ret_charge->tag = trial->charge.tag;
        ret_charge->owner = trial->place.owner;
        ret_charge->cost = (uint32_t)trial->cost;
    } else {
        ret_charge->cell = ret_charge->bucket = ret_charge->cost = 0;
        ret_charge->tag = ret_charge->owner = 0;
    }
}

static void fill_verdict(const struct decision *decision, enum outcome outcome,
                         struct limit_verdict *ret_verdict)
{
    ret_verdict->admitted = outcome == OUTCOME_ADMITTED;
    ret_verdict->waits = outcome == OUTCOME_WAITS;
    ret_verdict->asks = false;
    ret_verdict->contended = outcome == OUTCOME_AGAIN;
    ret_verdict->n = (uint16_t)decision->n;
    ret_verdict->denied_by = 0;
    ret_verdict->retry_after_ns = ret_verdict->contended ? CONTENDED_WAIT_NS : 0;
    ret_verdict->generation = decision->view->generation;
    ret_verdict->overflow_cells_used = ret_verdict->new_keys = 0;
    for (uint32_t i = 0; i < decision->n; i++) {
        const struct trial *trial = &decision->trials[i];
        struct limit_charge *charge = &ret_verdict->charges[i];
        fill_charge(decision, trial, charge);
        if (charge->lease != 0 && !ret_verdict->admitted && !ret_verdict->waits) {
            charge->lease_due = charge->cost; // granted, and not spent
            charge->cost = 0;
        }
        ret_verdict->asks |= charge->ask != LIMIT_ASK_NOTHING;
        ret_verdict->overflow_cells_used += trial->place.overflow;
        ret_verdict->new_keys += trial->is_new;
        if (outcome == OUTCOME_DENIED && trial->denied && !trial->shadow &&
            ret_verdict->charges[i].reset_ns > ret_verdict->retry_after_ns) {
            ret_verdict->retry_after_ns = ret_verdict->charges[i].reset_ns;
            ret_verdict->denied_by = (uint16_t)i;
        }
    }
}

// What can be done before the table is looked at, so that the sets' lines are on the way when it
// is.
static void begin(struct decision *decision, struct limit_view *view,
                  const struct limit_facts *facts, bool is_alone)
{
    decision->is_alone = is_alone;
    decision->view = view;
    decision->n = 0;
    decision->grants = NULL;
    decision->n_grants = 0;
    decision->only_looks = facts->cost == 0;
    decision->needs_clock = decision->enforcing_only = false;
    decision->by_epoch = true;
    find_policies(decision, facts);
}

static void fetch_cells(const struct decision *decision)
{
    for (uint32_t i = 0; i < decision->n; i++) {
        table_prefetch_cell(&decision->trials[i].key);
    }
}

static void finish(struct decision *decision, struct limit_verdict *ret_verdict)
{
    decision->now_ns = decision->view->hint_ns;
    if (decision->needs_clock || decision->now_ns == 0) {
        read_clock(decision);
    }
    enum outcome outcome = decision->n == 0 ? OUTCOME_ADMITTED : OUTCOME_AGAIN;
    for (int tries = 0; tries < TRIES_MAX && outcome == OUTCOME_AGAIN; tries++) {
        if (tries > 0) {
            read_clock(decision);
            decision->enforcing_only = tries >= TRIES_WITH_SHADOW;
        }
        outcome = try_once(decision);
    }
    fill_verdict(decision, outcome, ret_verdict);
}

void limit_decide(struct limit_view *view, const struct limit_facts *facts,
                  struct limit_verdict *ret_verdict)
{
    limit_decide_granted(view, facts, NULL, 0, ret_verdict);
}

void limit_decide_granted(struct limit_view *view, const struct limit_facts *facts,
                          const struct limit_grant *grants, size_t n_grants,
                          struct limit_verdict *ret_verdict)
{
    struct decision decision;
    limit_refresh(view);
    begin(&decision, view, facts, true);
    decision.grants = grants;
    decision.n_grants = n_grants;
    finish(&decision, ret_verdict);
}

void limit_decide_batch(struct limit_view *view, const struct limit_facts *facts, size_t n,
                        struct limit_verdict *ret_verdicts)
{
    struct decision decisions[TOGETHER_MAX];
    for (size_t done = 0, some; done < n; done += some) {
        some = n - done < TOGETHER_MAX ? n - done : TOGETHER_MAX;
        limit_refresh(view);
        for (size_t i = 0; i < some; i++) {
            begin(&decisions[i], view, &facts[done + i], false);
        }
        for (size_t i = 0; i < some; i++) {
            fetch_cells(&decisions[i]);
        }
        for (size_t i = 0; i < some; i++) {
            finish(&decisions[i], &ret_verdicts[done + i]);
        }
    }
}
