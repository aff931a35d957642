#include "limiter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "flood_watch.h"
#include "leases.h"
#include "limiter_announce.h"
#include "limiter_check.h"
#include "limiter_metrics.h"
#include "operate.h"

#define FILL_INTERVAL_MS 1000

static const struct param_row limiter_rows[] = {
#define PARAM_STRUCT_TYPE struct limiter_params
#define PARAM_ROWS        "params.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};
static const struct param_group limiter_param_group = {
    .name = "limiter",
    .title = "limiter",
    .rows = limiter_rows,
    .n_rows = sizeof(limiter_rows) / sizeof(limiter_rows[0]),
    .struct_bytes = sizeof(struct limiter_params),
};
enum { GROUP_LIMITS, GROUP_LIMITER };
static const struct param_group *const groups[] = {
    [GROUP_LIMITS] = &limits_param_group, [GROUP_LIMITER] = &limiter_param_group, NULL};

struct limiter {
    struct service *service;
    struct limit_view *view;
    struct limit_policy_set set; // in force, without what operators added
    struct limit_policy_set publishing;
    struct operate *operate;
    struct networks networks;
    struct region_map *regions;
    struct limiter_check *check;
    struct leases *leases; // NULL without REDIS_ENABLED
    struct flood_watch flood;
    uv_timer_t sweep, fill;
    unsigned open_handles;          // freed with the last of them
    metric_id ids[LIMITER_METRICS]; // of those without labels, and of publications that went well
    metric_id publications_refused;
};

static const struct limiter_params *own_params(const struct limiter *limiter)
{
    return limiter->service->params[GROUP_LIMITER];
}

static int make_regions(const struct limits_params *params, const struct config_model *model,
                        struct problems *problems, struct region_map **ret_regions)
{
    return region_map_create(&model->limits, params->geoip_db, problems, ret_regions);
}

// Which environment it is changes a default and nothing that can be wrong.
static int limiter_check(void *const *params, const struct config_model *model,
                         struct problems *problems)
{
    struct limit_policy_set *set = calloc(1, sizeof(*set));
    struct region_map *regions = NULL;
    struct networks networks;
    int error;

    if (!set)
        return -ENOMEM;
    error = limit_compile(params[GROUP_LIMITS], model, ENVIRONMENT_PRODUCTION, problems, set);
    free(set);
    if (networks_parse(params[GROUP_LIMITS], problems, &networks) == 0)
        networks_fini(&networks);
    else
        error = -EINVAL;
    if (make_regions(params[GROUP_LIMITS], model, problems, &regions) == 0)
        region_map_destroy(&regions);
    else
        error = -EINVAL;
    return leases_check(params[GROUP_LIMITS], problems) < 0 ? -EINVAL : error;
}

struct known { // a policy as it was
    char name[LIMIT_NAME_MAX];
    uint64_t identity;
};

static uint32_t remember(const struct limit_view *view, struct known known[LIMIT_POLICIES_MAX])
{
    const struct limit_policy *policy;
    uint32_t n = 0;

    for (; n < LIMIT_POLICIES_MAX && (policy = limit_policy_at(view, n)) != NULL; n++) {
        memcpy(known[n].name, policy->name, LIMIT_NAME_MAX);
        known[n].identity = policy->identity;
    }
    return n;
}

// Another algorithm, window or key, or a limit beyond what its cells count.
static void tell_who_starts_anew(const struct limit_view *view, const struct known *before,
                                 uint32_t n)
{
    const struct limit_policy *policy;

    for (uint32_t i = 0; (policy = limit_policy_at(view, i)) != NULL; i++)
        for (uint32_t j = 0; j < n; j++)
            if (strcmp(before[j].name, policy->name) == 0 && before[j].identity != policy->identity)
                log_warn("limit.starts_anew",
                         "the policy's counts begin anew: its algorithm, window or key is another, "
                         "or its limit is beyond the cells it had (limit_max reserves room)",
                         LSTR("policy", policy->name), LUINT("limit", policy->limit));
}

static int publish(struct limiter *limiter, const struct limit_policy_set *set)
{
    const struct service *service = limiter->service;
    struct known before[LIMIT_POLICIES_MAX];
    limit_refresh(limiter->view);
    uint32_t n_before = remember(limiter->view, before);
    int error;

    limiter->publishing = *set;
    operate_add_overrides(limiter->operate, &limiter->publishing);
    error = limit_publish(limiter->view, &limiter->publishing, LIMIT_PUBLISH_REPLACE);
    metric_add(service->metrics,
               error < 0 ? limiter->publications_refused : limiter->ids[METRIC_INDEX_publications],
               1);
    if (error < 0) {
        log_error("limit.refused",
                  error == -ENOSPC
                      ? "no room in the limit table for these policies: a live process "
                        "still uses what replaced ones had (reload again), or "
                        "LIMIT_TABLE_CELLS is too small (needs a new segment)"
                      : "the policies could not be published",
                  LSTR("error", strerror(-error)), LUINT("policies", set->n),
                  LUINT("limit_table_cells", service->suite->limit_table_cells));
        return error;
    }
    limiter->set = *set;
    tell_who_starts_anew(limiter->view, before, n_before);
    metric_gauge(service->metrics, limiter->ids[METRIC_INDEX_generation],
                 (double)limit_generation(limiter->view));
    metric_gauge(service->metrics, limiter->ids[METRIC_INDEX_policies], set->n);
    log_info("limit.published", "the policies are in force", LUINT("policies", set->n),
             LUINT("generation", limit_generation(limiter->view)));
    limiter_announce(service->bus, set, limit_generation(limiter->view));
    return 0;
}

// Networks and regions, both or none.
static int load_addresses(struct limiter *limiter, struct problems *problems)
{
    const struct limits_params *params = limiter->service->params[GROUP_LIMITS];
    struct region_map *regions;
    struct networks networks;
    int error = networks_parse(params, problems, &networks);

    if (error < 0)
        return error;
    error = make_regions(params, limiter->service->model, problems, &regions);
    if (error < 0) {
        networks_fini(&networks);
        return error;
    }
    networks_fini(&limiter->networks);
    limiter->networks = networks;
    if (limiter->check)
        limiter_check_set_regions(limiter->check, regions);
    region_map_destroy(&limiter->regions);
    limiter->regions = regions;
    return 0;
}

static int compile_and_publish(struct limiter *limiter)
{
    const struct service *service = limiter->service;
    struct limit_policy_set *set = calloc(1, sizeof(*set));
    struct problems problems = PROBLEMS_INIT;
    int error = -ENOMEM;

    if (set)
        error = limit_compile(service->params[GROUP_LIMITS], service->model,
                              service->suite->environment, &problems, set);
    if (!error)
        error = load_addresses(limiter, &problems);
    for (size_t i = 0; i < problems.n; i++)
        log_error("config.invalid", problems.items[i]);
    problems_fini(&problems);
    if (!error)
        error = publish(limiter, set);
    free(set);
    return error;
}

static int republish(void *arg)
{
    struct limiter *limiter = arg;

    return publish(limiter, &limiter->set);
}

static void sweep_due(uv_timer_t *timer)
{
    struct limiter *limiter = timer->data;
    uint32_t budget = (uint32_t)own_params(limiter)->sweep_cells;
    uint32_t freed = limit_sweep(limiter->view, budget);

    metric_add(limiter->service->metrics, limiter->ids[METRIC_INDEX_sweep_steps], 1);
    metric_add(limiter->service->metrics, limiter->ids[METRIC_INDEX_freed], freed);
}

static void fill_due(uv_timer_t *timer)
{
    struct limiter *limiter = timer->data;
    struct limit_fill fill;

    limit_fill(limiter->view, &fill);
    metric_gauge(limiter->service->metrics, limiter->ids[METRIC_INDEX_table_cells],
                 (double)fill.cells);
    metric_gauge(limiter->service->metrics, limiter->ids[METRIC_INDEX_table_live],
                 (double)fill.live);
    const struct flood_rules rules = {.keys_per_s = own_params(limiter)->flood_rate,
                                      .calm_ns = own_params(limiter)->flood_calm_ms * NS_PER_MS};
    flood_watch_look(&limiter->flood, &rules, &fill);
}

static void sweep_start(struct limiter *limiter)
{
    uint64_t interval_ms = own_params(limiter)->sweep_interval_ms;

    uv_timer_start(&limiter->sweep, sweep_due, interval_ms, interval_ms);
}

static void register_metrics(struct limiter *limiter)
{
    struct metric_set *set = limiter->service->metrics;
    const struct metric_def *publications = &limiter_metric_defs[METRIC_INDEX_publications];
    const char *ok = "ok", *refused = "refused";

    for (int i = 0; i < LIMITER_METRICS; i++)
        if (limiter_metric_defs[i].labels[0] == '\0')
            limiter->ids[i] = metric_register(set, &limiter_metric_defs[i], NULL);
    limiter->ids[METRIC_INDEX_publications] = metric_register(set, publications, &ok);
    limiter->publications_refused = metric_register(set, publications, &refused);
}

static struct leases_metrics lease_metrics(struct limiter *limiter)
{
    static const char *const events[] = {"granted", "refused", "expired", "returned", "forgotten"};
    struct metric_set *set = limiter->service->metrics;
    metric_id tokens[5];

    for (int i = 0; i < 5; i++)
        tokens[i] =
            metric_register(set, &limiter_metric_defs[METRIC_INDEX_lease_tokens], &events[i]);
    return (struct leases_metrics){
        .up = limiter->ids[METRIC_INDEX_redis_up],
        .outages = limiter->ids[METRIC_INDEX_redis_outages],
        .commands = limiter->ids[METRIC_INDEX_redis_commands],
        .latency = limiter->ids[METRIC_INDEX_redis_latency],
        .leases = limiter->ids[METRIC_INDEX_leases],
        .orders = limiter->ids[METRIC_INDEX_lease_orders],
        .away = limiter->ids[METRIC_INDEX_lease_away],
        .granted = tokens[0],
        .refused = tokens[1],
        .expired = tokens[2],
        .returned = tokens[3],
        .forgotten = tokens[4],
    };
}

static int start_leases(struct limiter *limiter)
{
    struct service *service = limiter->service;
    const struct limits_params *params = service->params[GROUP_LIMITS];
    const struct leases_metrics metrics = lease_metrics(limiter);

    if (!params->redis_enabled)
        return 0;
    return leases_create(service, params, limiter->view, &metrics, &limiter->leases);
}

static ProtobufCMessage *limiter_request(void *arg, const char *topic,
                                         const ProtobufCMessage *message)
{
    struct limiter *limiter = arg;

    if (limiter->leases && strcmp(topic, "lease.request") == 0)
        (void)leases_serve(limiter->leases, message); // keeps the call
    return NULL;
}

static int limiter_setup(struct service *service, void **ret_state)
{
    struct limiter *limiter = calloc(1, sizeof(*limiter));
    int error;

    if (!limiter)
        return -ENOMEM;
    limiter->service = service;
    register_metrics(limiter);
    error = limit_attach(service->segment, service->slot, &limiter->view);
    if (!error)
        error = bus_serve(service->bus, limiter_request, limiter);
    if (!error)
        error = operate_create(service, limiter->view, republish, limiter, &limiter->operate);
    if (!error)
        error = compile_and_publish(limiter);
    if (!error)
        error = limiter_check_create(service, limiter->view, &limiter->check);
    if (!error)
        error = start_leases(limiter);
    if (error < 0) {
        log_error("limiter.setup", "the limiter cannot work", LSTR("error", strerror(-error)));
        operate_destroy(&limiter->operate);
        networks_fini(&limiter->networks);
        region_map_destroy(&limiter->regions);
        limit_detach(&limiter->view);
        free(limiter);
        return error;
    }
    limiter_check_set_networks(limiter->check, &limiter->networks,
                               operate_networks(limiter->operate));
    limiter_check_set_regions(limiter->check, limiter->regions);
    limiter_check_set_refund_time(limiter->check, own_params(limiter)->refund_time_ms);
    limiter_check_set_desk(limiter->check, leases_desk(limiter->leases));
    operate_set_desk(limiter->operate, leases_desk(limiter->leases));
    flood_watch_init(&limiter->flood, service);
    uv_timer_init(service->loop, &limiter->sweep);
    uv_timer_init(service->loop, &limiter->fill);
    limiter->sweep.data = limiter->fill.data = limiter;
    limiter->open_handles = 2;
    sweep_start(limiter);
    uv_timer_start(&limiter->fill, fill_due, 0, FILL_INTERVAL_MS);
    *ret_state = limiter;
    return 0;
}

static int limiter_reload(struct service *service, void *state)
{
    struct limiter *limiter = state;
    int error = compile_and_publish(limiter);

    (void)service;
    if (!error) {
        sweep_start(limiter);
        limiter_check_set_refund_time(limiter->check, own_params(limiter)->refund_time_ms);
    }
    return error;
}

static void limiter_drained(void *arg)
{
    service_drained(((struct limiter *)arg)->service);
}

// What is left of the leases goes back to Redis before we leave.
static void limiter_drain(struct service *service, void *state)
{
    struct limiter *limiter = state;

    if (limiter->leases)
        leases_drain(limiter->leases, limiter_drained, limiter);
    else
        service_drained(service);
}

static void limiter_closed(uv_handle_t *handle)
{
    struct limiter *limiter = handle->data;

    if (--limiter->open_handles == 0)
        free(limiter);
}

static void limiter_teardown(struct service *service, void *state)
{
    struct limiter *limiter = state;

    (void)service;
    leases_destroy(&limiter->leases); // checks that wait for it are answered
    limiter_check_destroy(&limiter->check);
    operate_destroy(&limiter->operate);
    networks_fini(&limiter->networks);
    region_map_destroy(&limiter->regions);
    limit_detach(&limiter->view);
    uv_close((uv_handle_t *)&limiter->sweep, limiter_closed);
    uv_close((uv_handle_t *)&limiter->fill, limiter_closed);
}

const struct service_descriptor limiter_descriptor = {
    .name = "limiter",
    .summary = "publishes the rate limit policies and keeps the limit table clean",
    .groups = groups,
    .metrics = limiter_metric_defs,
    .n_metrics = LIMITER_METRICS,
    .check = limiter_check,
    .setup = limiter_setup,
    .reload = limiter_reload,
    .drain = limiter_drain,
    .teardown = limiter_teardown,
};
