// When an operation is sent: live traffic first, at a bounded rate, with a permit like everybody's.
// An operation that gets the probe of a half-open breaker is what tests the upstream.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "outbox_internal.h"
#include "outbox_smtp.h"

#define REFUSED_WAIT_NS (50 * NS_PER_MS)
#define SETTLE_AGAIN_NS (1 * NS_PER_S)
#define BURST_SECONDS   0.1

struct outbox_flight {
    struct outbox_job job; // claim, then settle
    struct outbox *outbox;
    struct outbox_upstream *upstream;
    struct breaker_permit permit; // not held: no breaker guards this upstream
    struct outbox_call call;
    struct outbox_verdict verdict;
    bool claiming, unsettled; // unsettled: the disk did not take the verdict
    uint64_t settle_at_ns;
    struct outbox_flight *next;
};

// ---- the end --------------------------------------------------------------------------------

static void give_back(struct outbox_flight *flight, enum breaker_outcome outcome)
{
    if (flight->permit.held)
        (void)breaker_report(flight->outbox->breakers, &flight->permit, outcome, clock_mono_ns());
}

static void land(struct outbox_flight *flight)
{
    struct outbox_flight **link = &flight->outbox->flights;
    while (*link != flight)
        link = &(*link)->next;
    *link = flight->next;
    flight->upstream->n_flights--;
    outbox_call_fini(&flight->call);
    free(flight->verdict.answer);
    free(flight);
}

static void publish_end(struct outbox_flight *flight)
{
    Valvechain__V1__OutboxOperation event = VALVECHAIN__V1__OUTBOX_OPERATION__INIT;
    char state[16];
    snprintf(state, sizeof(state), "%s", outbox_state_names[flight->verdict.state]);
    event.id = flight->call.id;
    event.upstream = flight->upstream->name;
    event.state = state;
    event.attempts = flight->call.attempt;
    event.last_error = flight->verdict.error;
    event.accepted_ms = flight->call.accepted_ms;
    event.answer_status = flight->verdict.answer_status;
    outbox_publish_end(flight->outbox, &event);
}

static int run_settle(struct outbox_job *job, struct outbox_store *store, uint64_t now_ms)
{
    struct outbox_flight *flight = (struct outbox_flight *)job;
    return outbox_store_settle(store, flight->call.seq, &flight->verdict, now_ms);
}

static void settled(struct outbox_job *job, int error)
{
    struct outbox_flight *flight = (struct outbox_flight *)job;
    struct outbox *outbox = flight->outbox;
    struct outbox_upstream *upstream = flight->upstream;
    enum outbox_state state = flight->verdict.state;
    if (error < 0 && error != -ENOENT && !outbox->stopping) {
        flight->unsettled = true; // until then it stays `sending`
        flight->settle_at_ns = clock_mono_ns() + SETTLE_AGAIN_NS;
        return;
    }
    if (error == 0) {
        metric_add(outbox->service->metrics, upstream->results[state], 1);
        if (state == OUTBOX_DEAD || state == OUTBOX_PARKED)
            publish_end(flight);
    }
    land(flight);
    outbox_replay(outbox);
}

static void settle(struct outbox_flight *flight)
{
    flight->unsettled = false;
    flight->job.run = run_settle;
    flight->job.done = settled;
    outbox_journal_add(&flight->outbox->journal, &flight->job);
}

static void keep_answer(struct outbox_verdict *verdict, const struct outbox_attempt *attempt,
                        const char *type)
{
    snprintf(verdict->answer_type, sizeof(verdict->answer_type), "%s", type);
    if (attempt->body_len == 0)
        return;
    verdict->answer = malloc(attempt->body_len);
    if (verdict->answer == NULL)
        return; // what was done is worth more than its text
    memcpy(verdict->answer, attempt->body, attempt->body_len);
    verdict->answer_len = attempt->body_len;
}

static void sent(void *arg, const struct outbox_attempt *attempt, const char *type)
{
    struct outbox_flight *flight = arg;
    struct outbox *outbox = flight->outbox;
    const struct outbox_retry_rules rules = {.backoff_ms = outbox->params->outbox_backoff_ms,
                                             .backoff_max_ms =
                                                 outbox->params->outbox_backoff_max_ms,
                                             .max_attempts = outbox->params->outbox_max_attempts};
    static const struct config_outcomes usual; // of an upstream that a reload took away
    const struct config_upstream *config = outbox_config(outbox, flight->upstream->name);
    const struct config_outcomes *outcomes = config != NULL ? &config->outcomes : &usual;
    outbox_judge(attempt, &flight->call, outcomes, &rules, outbox_now_ms(), outbox_random(outbox),
                 &flight->verdict);
    keep_answer(&flight->verdict, attempt, type);
    give_back(flight, outbox_outcome(attempt, &flight->call, outcomes));
    settle(flight);
}

// ---- the beginning --------------------------------------------------------------------------

static uint64_t timeout_ms(const struct outbox_flight *flight)
{
    const struct outbox *outbox = flight->outbox;
    int index = breaker_find(outbox->breakers, flight->upstream->name);
    const struct breaker_definition *definition =
        index >= 0 ? breaker_definition_at(outbox->breakers, (uint32_t)index) : NULL;
    return definition != NULL && definition->timeout_ns > 0 ? definition->timeout_ns / NS_PER_MS
                                                            : outbox->defaults->timeout_ms;
}

static int run_claim(struct outbox_job *job, struct outbox_store *store, uint64_t now_ms)
{
    struct outbox_flight *flight = (struct outbox_flight *)job;
    outbox_call_fini(&flight->call);
    return outbox_store_claim(store, flight->upstream->name, now_ms, &flight->call);
}

static void claimed(struct outbox_job *job, int error)
{
    struct outbox_flight *flight = (struct outbox_flight *)job;
    struct outbox *outbox = flight->outbox;
    flight->claiming = false;
    if (error < 0) {
        give_back(flight, BREAKER_IGNORED);
        land(flight);
        return;
    }
    const struct config_upstream *config = outbox_config(outbox, flight->upstream->name);
    struct outbox_send_options options = {.upstream = config,
                                          .lot = outbox_random(outbox),
                                          .dir = outbox->uploads.dir,
                                          .timeout_ms = timeout_ms(flight)};
    flight->upstream->attempts++;
    int rc;
    if (config == NULL)
        rc = -EADDRNOTAVAIL;
    else if (outbox->stopping)
        rc = -ECANCELED;
    else if (config_upstream_is_smtp(config))
        rc = outbox_smtp(outbox->mailer, &flight->call, &options, sent, flight);
    else
        rc = outbox_send(outbox->sender, &flight->call, &options, sent, flight);
    if (rc < 0) {
        const struct outbox_attempt attempt = {.sent = OUTBOX_NOT_SENT,
                                               .gateway = true,
                                               .retry_after_ms = UINT64_MAX,
                                               .error = strerror(-rc)};
        sent(flight, &attempt, "");
    }
}

static void start_claim(struct outbox *outbox, struct outbox_upstream *upstream,
                        const struct breaker_permit *permit)
{
    struct outbox_flight *flight = calloc(1, sizeof(*flight));
    if (flight == NULL) {
        struct outbox_flight none = {.outbox = outbox, .permit = *permit};
        give_back(&none, BREAKER_IGNORED);
        return;
    }
    *flight = (struct outbox_flight){.outbox = outbox,
                                     .upstream = upstream,
                                     .permit = *permit,
                                     .claiming = true,
                                     .next = outbox->flights};
    outbox->flights = flight;
    upstream->n_flights++;
    flight->job.run = run_claim;
    flight->job.done = claimed;
    outbox_journal_add(&outbox->journal, &flight->job);
}

// Asks the breaker as little as possible: each refusal is counted there.
static bool get_permit(struct outbox *outbox, struct outbox_upstream *upstream, uint64_t now_ns,
                       struct breaker_permit *ret_permit)
{
    struct breaker_status status;
    uint64_t retry_ns = 0;
    int index = breaker_find(outbox->breakers, upstream->name);
    *ret_permit = (struct breaker_permit){0};
    if (index < 0 || !outbox->defaults->enabled ||
        breaker_status(outbox->breakers, (uint32_t)index, now_ns, &status) < 0)
        return true;
    if (status.state == BREAKER_OPEN && status.deadline_ns > now_ns) {
        upstream->wait_ns = status.deadline_ns;
        return false;
    }
    bool crowded = status.in_flight > 0 && status.in_flight * 2 >= status.capacity;
    if (status.state == BREAKER_CLOSED && crowded && upstream->n_flights == 0)
        crowded = status.in_flight >= status.capacity; // live first, but not for ever
    if (status.state == BREAKER_CLOSED && crowded) {
        upstream->wait_ns = now_ns + REFUSED_WAIT_NS;
        return false;
    }
    enum breaker_grant grant =
        breaker_acquire(outbox->breakers, (uint32_t)index, now_ns, ret_permit, &retry_ns);
    if (grant == BREAKER_GRANTED || grant == BREAKER_GRANTED_PROBE)
        return true;
    upstream->wait_ns = now_ns + (retry_ns > REFUSED_WAIT_NS ? retry_ns : REFUSED_WAIT_NS);
    return false;
}

static void fill(struct outbox *outbox, struct outbox_upstream *upstream, uint64_t now_ns)
{
    double rate =
        outbox_replay_rate(upstream->live_per_s, outbox->params->outbox_replay_share_percent,
                           outbox->params->outbox_replay_rate);
    double most = rate * BURST_SECONDS > 1 ? rate * BURST_SECONDS : 1;
    upstream->tokens += rate * (double)(now_ns - upstream->filled_ns) / (double)NS_PER_S;
    upstream->tokens = upstream->tokens < most ? upstream->tokens : most;
    upstream->filled_ns = now_ns;
}

static void replay_upstream(struct outbox *outbox, struct outbox_next *next, uint64_t now_ns)
{
    struct outbox_upstream *upstream = outbox_upstream(outbox, next->upstream);
    struct breaker_permit permit;
    if (upstream == NULL || now_ns < upstream->wait_ns ||
        outbox_config(outbox, next->upstream) == NULL)
        return;
    if (next->due == 0 && next->next_ms <= outbox_now_ms())
        next->due = 1; // time has passed since the last batch
    fill(outbox, upstream, now_ns);
    while (next->due > 0 && upstream->n_flights < outbox->params->outbox_replay_calls &&
           upstream->tokens >= 1 && get_permit(outbox, upstream, now_ns, &permit)) {
        next->due--;
        next->next_ms = UINT64_MAX; // until the batch has looked
        upstream->tokens -= 1;
        start_claim(outbox, upstream, &permit);
    }
}

void outbox_replay(struct outbox *outbox)
{
    struct outbox_journal_view *view = &outbox->journal.view;
    uint64_t now_ns = clock_mono_ns();
    if (outbox->stopping)
        return;
    for (struct outbox_flight *flight = outbox->flights; flight != NULL; flight = flight->next)
        if (flight->unsettled && now_ns >= flight->settle_at_ns)
            settle(flight);
    for (size_t i = 0; i < view->n_next; i++) {
        const struct outbox_figures *figures = &view->totals.upstreams[i];
        if (!figures->paused && figures->items[OUTBOX_QUEUED] > 0)
            replay_upstream(outbox, &view->next[i], now_ns);
    }
}

void outbox_replay_second(struct outbox *outbox)
{
    struct breaker_status status;
    for (size_t i = 0; i < outbox->n_upstreams; i++) {
        struct outbox_upstream *upstream = &outbox->upstreams[i];
        int index = breaker_find(outbox->breakers, upstream->name);
        if (index >= 0 &&
            breaker_status(outbox->breakers, (uint32_t)index, clock_mono_ns(), &status) == 0) {
            uint64_t total = status.total_successes + status.total_failures + status.total_timeouts;
            uint64_t calls = upstream->live_total == 0 ? 0 : total - upstream->live_total;
            upstream->live_total = total;
            upstream->live_per_s =
                calls > upstream->attempts ? (double)(calls - upstream->attempts) : 0;
        }
        metric_gauge(outbox->service->metrics, upstream->rate, upstream->attempts);
        upstream->attempts = 0;
    }
}

void outbox_replay_abandon(struct outbox *outbox)
{
    smtp_sender_destroy(&outbox->mailer);
    curl_loop_destroy(&outbox->sender); // each calls back, and settles with what is known
}
