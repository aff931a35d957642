#include "leases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "lease_order.h"

// So long fronts take the store for up without hearing more: longer than a busy machine lets a
// process wait for its turn, and shorter than a person would.
#define STORE_HORIZON_NS (2 * NS_PER_S)
#define OWNER_TICKS      100 // between two looks at whether the cells' owner still lives
#define FINDING_MAX      200

struct leases {
    struct service *service;
    struct leases_metrics metrics;
    struct lease_view cells;
    struct redis_link *link;
    struct lease_desk *desk;
    uv_timer_t tick;
    unsigned ticks;
    bool is_owner, was_up, said_why;
    struct lease_counts told; // to the metrics
    void (*drained)(void *arg);
    void *drained_arg;
    uint64_t drain_until_ms;
};

// ---- what is seen of it ----------------------------------------------------------------------

static void tell_counts(struct leases *leases)
{
    const struct lease_counts *now = lease_desk_counts(leases->desk);
    struct lease_counts *told = &leases->told;
    struct metric_set *set = leases->service->metrics;
    const struct leases_metrics *ids = &leases->metrics;
    metric_add(set, ids->leases, now->leases - told->leases);
    metric_add(set, ids->granted, now->tokens_granted - told->tokens_granted);
    metric_add(set, ids->refused, now->tokens_refused - told->tokens_refused);
    metric_add(set, ids->expired, now->tokens_expired - told->tokens_expired);
    metric_add(set, ids->returned, now->tokens_returned - told->tokens_returned);
    metric_add(set, ids->forgotten, now->forgotten - told->forgotten);
    metric_add(set, ids->orders, now->orders - told->orders);
    metric_add(set, ids->away, now->away - told->away);
    *told = *now;
}

static void publish_state(struct leases *leases, bool up, const char *why)
{
    Valvechain__V1__ProcessEvent event = VALVECHAIN__V1__PROCESS_EVENT__INIT;
    Valvechain__V1__Origin origin;
    char version[] = VALVECHAIN_VERSION;
    bus_origin(leases->service->bus, &origin);
    event.origin = &origin;
    event.version = version;
    event.ok = up;
    event.detail = (char *)(uintptr_t)why; // read only
    bus_publish(leases->service->bus, "limit.store", &event.base);
}

static void on_state(void *arg, bool up, const char *why)
{
    struct leases *leases = arg;
    if (leases->is_owner) {
        atomic_store(&leases->cells.table->store_until_ns,
                     up ? clock_mono_ns() + STORE_HORIZON_NS : 0);
    }
    metric_gauge(leases->service->metrics, leases->metrics.up, up);
    if (up) {
        lease_desk_link_up(leases->desk);
        log_info("limit.store_up", "Redis answers: distributed limits are exact");
        service_set_finding(leases->service, "");
        publish_state(leases, true, "");
    } else {
        char finding[FINDING_MAX];
        (void)snprintf(finding, sizeof(finding),
                       "Redis is away, distributed limits follow their on_store_failure: %s", why);
        service_set_finding(leases->service, finding); // of the latest try: what keeps it away now
    }
    if (!up && (leases->was_up || !leases->said_why)) { // not for each try that fails
        log_warn("limit.store_away",
                 "Redis is away: distributed limits follow their "
                 "on_store_failure until it is back",
                 LSTR("why", why));
        publish_state(leases, false, why);
        leases->said_why = true;
    }
    if (leases->was_up && !up) {
        metric_add(leases->service->metrics, leases->metrics.outages, 1);
    }
    leases->was_up = up;
}

static void on_command(void *arg, uint64_t latency_ns)
{
    struct leases *leases = arg;
    metric_add(leases->service->metrics, leases->metrics.commands, 1);
    metric_observe(leases->service->metrics, leases->metrics.latency, latency_ns);
}

// ---- the cells' owner ------------------------------------------------------------------------

static uint64_t owner_word(const struct slot *slot)
{
    return (uint64_t)slot_generation(slot) << 32 | slot_index(slot);
}

// One limiter fills the cells; another one of the same name waits until that is gone.
static void become_owner(struct leases *leases)
{
    const struct service *service = leases->service;
    uint64_t owner = atomic_load(&leases->cells.table->owner);
    if (leases->is_owner || leases->cells.n_sets == 0 ||
        (owner != 0 && slot_is_alive(service->segment, (uint32_t)owner, (uint32_t)(owner >> 32)))) {
        return;
    }
    if (atomic_compare_exchange_strong(&leases->cells.table->owner, &owner,
                                       owner_word(service->slot))) {
        leases->is_owner = true;
        lease_desk_adopt(leases->desk);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct leases *leases = timer->data;
    if (leases->ticks++ % OWNER_TICKS == 0) {
        become_owner(leases);
    }
    lease_desk_tick(leases->desk);
    if (leases->is_owner && !leases->drained && redis_link_is_fresh(leases->link)) {
        atomic_store(&leases->cells.table->store_until_ns, clock_mono_ns() + STORE_HORIZON_NS);
    }
    tell_counts(leases);
    if (leases->drained && (lease_desk_is_idle(leases->desk) ||
                            uv_now(leases->service->loop) >= leases->drain_until_ms)) {
        void (*drained)(void *) = leases->drained;
        leases->drained = NULL;
        uv_timer_stop(&leases->tick);
        drained(leases->drained_arg);
    }
}

// ---- requests --------------------------------------------------------------------------------

struct asker {
    struct leases *leases;
    struct bus_call *call;
};

static void on_answers(void *arg, const struct lease_answer *answers, size_t n)
{
    static const char *const names[] = {
        [LEASE_GRANTED] = "granted", [LEASE_REFUSED] = "refused", [LEASE_AWAY] = "away"};
    struct asker *asker = arg;
    Valvechain__V1__Lease reply = VALVECHAIN__V1__LEASE__INIT;
    Valvechain__V1__LeaseAnswer items[LEASE_WISHES_MAX], *pointers[LEASE_WISHES_MAX];
    Valvechain__V1__Origin origin;
    bus_origin(asker->leases->service->bus, &origin);
    for (size_t i = 0; i < n; i++) {
        valvechain__v1__lease_answer__init(&items[i]);
        items[i].outcome = (char *)(uintptr_t)names[answers[i].outcome];
        items[i].lease = answers[i].lease;
        items[i].fits_after_ns = answers[i].fits_after_ns;
        items[i].left = answers[i].left;
        pointers[i] = &items[i];
    }
    reply.origin = &origin;
    reply.n_answers = n;
    reply.answers = pointers;
    bus_call_answer(&asker->call, &reply.base);
    free(asker);
}

static void take_returns(struct leases *leases, const Valvechain__V1__Lease *request)
{
    for (size_t i = 0; i < request->n_returns; i++) {
        const Valvechain__V1__LeaseReturn *item = request->returns[i];
        const struct lease_key key = {.identity = item->identity,
                                      .hash = item->key_hash,
                                      .id = {item->key_id_high, item->key_id_low}};
        lease_desk_return(leases->desk, &key, item->lease, item->tokens);
    }
}

bool leases_serve(struct leases *leases, const ProtobufCMessage *message)
{
    const Valvechain__V1__Lease *request = (const void *)message;
    struct lease_wish wishes[LEASE_WISHES_MAX];
    if (request->n_asks > LEASE_WISHES_MAX) {
        return false;
    }
    struct asker *asker = calloc(1, sizeof(*asker));
    if (!asker) {
        return false;
    }
    asker->leases = leases;
    asker->call = bus_call_keep(leases->service->bus);
    if (!asker->call) {
        free(asker);
        return false;
    }
    take_returns(leases, request);
    for (size_t i = 0; i < request->n_asks; i++) {
        const Valvechain__V1__LeaseAsk *ask = request->asks[i];
        wishes[i] = (struct lease_wish){.key = {.identity = ask->identity,
                                                .hash = ask->key_hash,
                                                .id = {ask->key_id_high, ask->key_id_low}},
                                        .limit = ask->limit,
                                        .cost = ask->cost,
                                        .shadow = ask->shadow};
    }
    if (request->n_asks == 0 ||
        lease_desk_ask(leases->desk, wishes, request->n_asks, on_answers, asker) < 0) {
        on_answers(asker, NULL, 0);
    }
    return true;
}

struct lease_desk *leases_desk(struct leases *leases)
{
    return leases ? leases->desk : NULL;
}

// ---- life ------------------------------------------------------------------------------------

int leases_check(const struct limits_params *params, struct problems *problems)
{
    struct redis_place place;
    return redis_place_parse(params, problems, &place);
}

static int create_desk(struct leases *leases, const struct limits_params *params,
                       const struct limit_view *policies)
{
    struct problems problems = PROBLEMS_INIT;
    struct redis_link_options options = {.timeout_ms = params->redis_timeout_ms,
                                         .script = lease_script_text,
                                         .on_state = on_state,
                                         .on_command = on_command,
                                         .arg = leases};
    int r = redis_place_parse(params, &problems, &options.place);
    problems_fini(&problems);
    if (r == 0) {
        r = redis_link_create(leases->service->loop, &options, &leases->link);
    }
    if (r < 0) {
        return r;
    }
    const struct lease_desk_options desk = {.cells = leases->cells,
                                            .policies = policies,
                                            .link = leases->link,
                                            .key_prefix = params->redis_key_prefix,
                                            .timeout_ms = params->redis_timeout_ms};
    r = lease_desk_create(&desk, &leases->desk);
    if (r < 0) {
        redis_link_destroy(&leases->link);
    }
    return r;
}

int leases_create(struct service *service, const struct limits_params *params,
                  const struct limit_view *policies, const struct leases_metrics *metrics,
                  struct leases **ret_leases)
{
    struct leases *leases = calloc(1, sizeof(*leases));
    uint64_t bytes = 0;
    if (!leases) {
        return -ENOMEM;
    }
    void *section = segment_section(service->segment, LEASE_SECTION, &bytes);
    leases->service = service;
    leases->metrics = *metrics;
    leases->cells = lease_view_over(section, bytes);
    int r = create_desk(leases, params, policies);
    if (r < 0) {
        log_error("limit.leases", "distributed limits cannot be served",
                  LSTR("error", strerror(-r)));
        free(leases);
        return r;
    }
    service_set_finding(service, "Redis has not answered yet");
    uv_timer_init(service->loop, &leases->tick);
    leases->tick.data = leases;
    uv_timer_start(&leases->tick, on_tick, 0, LEASE_DESK_TICK_MS);
    *ret_leases = leases;
    return 0;
}

void leases_drain(struct leases *leases, void (*done)(void *arg), void *arg)
{
    if (leases->is_owner) {
        atomic_store(&leases->cells.table->store_until_ns, 0);
    }
    leases->drained = done;
    leases->drained_arg = arg;
    leases->drain_until_ms = uv_now(leases->service->loop) + 1000;
    lease_desk_close(leases->desk);
}

static void tick_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void leases_destroy(struct leases **leases_pointer)
{
    struct leases *leases = *leases_pointer;
    *leases_pointer = NULL;
    if (!leases) {
        return;
    }
    redis_link_destroy(&leases->link); // open orders end in the desk
    tell_counts(leases);
    lease_desk_destroy(&leases->desk);
    uv_close((uv_handle_t *)&leases->tick, tick_closed);
}
