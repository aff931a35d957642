#include "app_permits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "metric/database_metrics.h"
#include "reply.h"

#define LEASE_MIN_MS 100
#define LEASE_MAX_MS 3600000
#define ID_MAX       24 // 3 hexadecimal digits of the place, 16 of a random number

const char *const app_result_names[APP_RESULTS] = {"granted", "refused", "reported", "unknown",
                                                   "expired"};

struct lease {
    uint64_t secret; // 0: free
    uint64_t until_ns;
    struct breaker_permit permit;
};
struct app_permits {
    struct service *service;
    struct breaker_view *view;
    app_count_fn *count;
    void *arg;
    struct database_metrics database;
    int database_index; // of its breaker; negative: none
    uint64_t database_calls;
    uint32_t n_free, free[APP_PERMITS_MAX];
    struct lease leases[APP_PERMITS_MAX];
};

static const char *refusal_name(enum breaker_grant grant)
{
    switch (grant) {
    case BREAKER_REFUSED_OPEN:
        return "open";
    case BREAKER_REFUSED_CAPACITY:
        return "capacity";
    case BREAKER_REFUSED_RAMP:
        return "ramp";
    case BREAKER_REFUSED_FORCED:
        return "forced";
    case BREAKER_GRANTED:
    case BREAKER_GRANTED_PROBE:
        break;
    }
    return "";
}

static bool is_database(const struct app_permits *permits, const struct breaker_permit *permit)
{
    return permit->breaker == (uint32_t)permits->database_index;
}

static bool keep(struct app_permits *permits, const struct breaker_permit *permit,
                 uint64_t until_ns, char id[ID_MAX])
{
    uint64_t secret = 0;
    if (permits->n_free == 0 || getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
        return false;
    uint32_t place = permits->free[--permits->n_free];
    secret |= secret == 0;
    permits->leases[place] =
        (struct lease){.secret = secret, .until_ns = until_ns, .permit = *permit};
    snprintf(id, ID_MAX, "%03x%016llx", place, (unsigned long long)secret);
    if (is_database(permits, permit))
        database_metrics_connections(&permits->database, ++permits->database_calls);
    return true;
}

static struct lease *find(struct app_permits *permits, const char *id)
{
    unsigned place;
    unsigned long long secret;
    if (strlen(id) != 19 || strspn(id, "0123456789abcdef") != 19 ||
        sscanf(id, "%3x%16llx", &place, &secret) != 2 || secret == 0)
        return NULL;
    struct lease *lease = &permits->leases[place & (APP_PERMITS_MAX - 1)];
    return lease->secret == secret ? lease : NULL;
}

static void end(struct app_permits *permits, struct lease *lease, enum breaker_outcome outcome,
                uint64_t now_ns)
{
    uint64_t start_ns = lease->permit.start_ns;
    (void)breaker_report(permits->view, &lease->permit, outcome, now_ns);
    if (is_database(permits, &lease->permit)) {
        database_metrics_connections(&permits->database, --permits->database_calls);
        if (outcome != BREAKER_IGNORED)
            database_metrics_observe(&permits->database, now_ns > start_ns ? now_ns - start_ns : 0);
    }
    lease->secret = 0;
    permits->free[permits->n_free++] = (uint32_t)(lease - permits->leases);
}

struct answer {
    Valvechain__V1__BreakerPermits message;
    char *list[APP_BATCH_MAX];
    char ids[APP_BATCH_MAX][ID_MAX];
};

static void grant(struct app_permits *permits, uint32_t index, uint32_t count, uint64_t lease_ms,
                  struct answer *answer)
{
    uint64_t now_ns = clock_mono_ns(), retry_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct breaker_permit permit;
        enum breaker_grant result =
            breaker_acquire(permits->view, index, now_ns, &permit, &retry_ns);
        if (breaker_is_refusal(result)) {
            answer->message.refused = reply_text(refusal_name(result));
            answer->message.retry_after_ms = (retry_ns + NS_PER_MS - 1) / NS_PER_MS;
            break;
        }
        char *id = answer->ids[answer->message.n_permits];
        if (!keep(permits, &permit, now_ns + lease_ms * NS_PER_MS, id)) {
            (void)breaker_report(permits->view, &permit, BREAKER_IGNORED, now_ns);
            answer->message.refused = reply_text("too many permits of applications");
            answer->message.retry_after_ms = 1000;
            break;
        }
        answer->message.probe = answer->message.probe || result == BREAKER_GRANTED_PROBE;
        answer->list[answer->message.n_permits++] = id;
    }
}

static int acquire(struct app_permits *permits, const Valvechain__V1__BreakerAcquire *ask,
                   struct strbuf *reply)
{
    struct bus *bus = permits->service->bus;
    struct breaker_status status;
    int index = breaker_find(permits->view, ask->breaker);
    uint32_t count = ask->count > 0 ? ask->count : 1;
    const char *wrong = NULL;
    if (count > APP_BATCH_MAX)
        wrong = "count must be 1 to 100";
    else if (ask->lease_ms != 0 && (ask->lease_ms < LEASE_MIN_MS || ask->lease_ms > LEASE_MAX_MS))
        wrong = "lease_ms must be 100 to 3600000, or 0 for CB_PERMIT_LEASE";
    if (wrong != NULL || index < 0) {
        if (wrong != NULL)
            bus_refuse(bus, "%s", wrong);
        else
            bus_refuse(bus, "no breaker '%.40s'", ask->breaker);
        return -EINVAL;
    }
    const struct breaker_definition *definition =
        breaker_definition_at(permits->view, (uint32_t)index);
    uint64_t lease_ms = ask->lease_ms > 0 ? ask->lease_ms : definition->permit_lease_ns / NS_PER_MS;
    struct answer answer;
    valvechain__v1__breaker_permits__init(&answer.message);
    answer.message.permits = answer.list;
    answer.message.lease_ms = lease_ms;
    grant(permits, (uint32_t)index, count, lease_ms, &answer);
    if (breaker_status(permits->view, (uint32_t)index, clock_mono_ns(), &status) == 0)
        answer.message.state = reply_text(breaker_state_names[status.state]);
    answer.message.granted = answer.message.n_permits > 0;
    permits->count(permits->arg, APP_GRANTED, answer.message.n_permits);
    permits->count(permits->arg, APP_REFUSED, count - answer.message.n_permits);
    return reply_append(&answer.message.base, reply);
}

// `breaker` negative: of whichever breaker.
static const char *report_one(struct app_permits *permits,
                              const Valvechain__V1__BreakerOutcome *told, int breaker,
                              uint64_t now_ns)
{
    struct lease *lease = find(permits, told->permit);
    enum breaker_outcome outcome;
    if (!breaker_outcome_of(told->outcome, &outcome))
        return "outcome must be success, failure, timeout or ignored";
    if (told->permit[0] == '\0')
        return "the permit is missing";
    if (lease == NULL)
        return "no such permit: it was reported, or its lease is over";
    if (breaker >= 0 && lease->permit.breaker != (uint32_t)breaker)
        return "no permit of this breaker";
    if (told->duration_ms > 0 && told->duration_ms < now_ns / NS_PER_MS)
        lease->permit.start_ns = now_ns - told->duration_ms * NS_PER_MS;
    end(permits, lease, outcome, now_ns);
    return NULL;
}

static int report(struct app_permits *permits, const Valvechain__V1__BreakerReport *told,
                  struct strbuf *reply)
{
    Valvechain__V1__BreakerReported answer = VALVECHAIN__V1__BREAKER_REPORTED__INIT;
    Valvechain__V1__BreakerUncounted uncounted[APP_BATCH_MAX], *refused[APP_BATCH_MAX];
    uint64_t now_ns = clock_mono_ns();
    if (told->n_outcomes == 0 || told->n_outcomes > APP_BATCH_MAX) {
        bus_refuse(permits->service->bus, "a report has 1 to 100 outcomes");
        return -EINVAL;
    }
    int breaker = told->breaker[0] != '\0' ? breaker_find(permits->view, told->breaker) : -1;
    if (told->breaker[0] != '\0' && breaker < 0) {
        bus_refuse(permits->service->bus, "no breaker '%.40s'", told->breaker);
        return -EINVAL;
    }
    answer.refused = refused;
    for (size_t i = 0; i < told->n_outcomes; i++) {
        const char *wrong = report_one(permits, told->outcomes[i], breaker, now_ns);
        if (wrong == NULL) {
            answer.reported++;
            continue;
        }
        Valvechain__V1__BreakerUncounted *one = &uncounted[answer.n_refused];
        valvechain__v1__breaker_uncounted__init(one);
        one->index = (uint32_t)i;
        one->permit = told->outcomes[i]->permit;
        one->reason = reply_text(wrong);
        refused[answer.n_refused++] = one;
    }
    permits->count(permits->arg, APP_REPORTED, answer.reported);
    permits->count(permits->arg, APP_UNKNOWN, answer.n_refused);
    return reply_append(&answer.base, reply);
}

static int serve_acquire(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    struct app_permits *permits = arg;
    Valvechain__V1__BreakerAcquire *ask = valvechain__v1__breaker_acquire__unpack(NULL, len, bytes);
    if (ask == NULL) {
        bus_refuse(permits->service->bus, "the message is no BreakerAcquire");
        return -EINVAL;
    }
    int error = acquire(permits, ask, reply);
    valvechain__v1__breaker_acquire__free_unpacked(ask, NULL);
    return error;
}

static int serve_report(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    struct app_permits *permits = arg;
    Valvechain__V1__BreakerReport *told = valvechain__v1__breaker_report__unpack(NULL, len, bytes);
    if (told == NULL) {
        bus_refuse(permits->service->bus, "the message is no BreakerReport");
        return -EINVAL;
    }
    int error = report(permits, told, reply);
    valvechain__v1__breaker_report__free_unpacked(told, NULL);
    return error;
}

int app_permits_create(struct service *service, struct breaker_view *view, app_count_fn *count,
                       void *arg, struct app_permits **ret_permits)
{
    struct app_permits *permits = calloc(1, sizeof(*permits));
    if (permits == NULL)
        return -ENOMEM;
    permits->service = service;
    permits->view = view;
    permits->database = database_metrics_open(service->metrics);
    permits->database_index = breaker_find(view, DATABASE_BREAKER);
    permits->count = count;
    permits->arg = arg;
    for (uint32_t i = 0; i < APP_PERMITS_MAX; i++)
        permits->free[permits->n_free++] = APP_PERMITS_MAX - 1 - i;
    int error = bus_serve_bytes(service->bus, "breaker.acquire", serve_acquire, permits);
    if (error == 0)
        error = bus_serve_bytes(service->bus, "breaker.report", serve_report, permits);
    if (error < 0) {
        free(permits);
        return error;
    }
    *ret_permits = permits;
    return 0;
}

void app_permits_expire(struct app_permits *permits, uint64_t now_ns)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < APP_PERMITS_MAX; i++) {
        struct lease *lease = &permits->leases[i];
        if (lease->secret == 0 || lease->until_ns > now_ns)
            continue;
        end(permits, lease, BREAKER_IGNORED, now_ns);
        n++;
    }
    permits->count(permits->arg, APP_EXPIRED, n);
}

void app_permits_destroy(struct app_permits **permits)
{
    if (*permits == NULL)
        return;
    for (uint32_t i = 0; i < APP_PERMITS_MAX; i++)
        if ((*permits)->leases[i].secret != 0)
            (void)breaker_report((*permits)->view, &(*permits)->leases[i].permit, BREAKER_IGNORED,
                                 clock_mono_ns());
    free(*permits);
    *permits = NULL;
}
