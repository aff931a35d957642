#include "scaler_advisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "advice/advise.h"
#include "advisor_params.h"
#include "agents.h"
#include "base/clock.h"
#include "base/log.h"
#include "hearing.h"
#include "sampling.h"
#include "state_file.h"

enum {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_enum.inc"
};
static const struct metric_def metric_defs[] = {
#include "metric/metric_table.inc"
};
#undef METRIC_ROWS

#define TICK_MS        1000
#define SAVE_EVERY     5  // decisions without a change between two saves of what is remembered
#define SAMPLE_STALE_S 1  // each second has its sample, or it is blind: hosts.h does the waiting
#define PUBLISH_EVERY  15 // decisions without a change between two confirmations on the bus

struct scaler_advisor {
    struct service *service;
    const struct advisor_params *params;
    struct advice_policy policy;
    struct advice_state state;
    char state_path[STATE_PATH_MAX];
    bool save_failed; // logged once until it works again
    uint32_t unsaved; // decisions since the last save
    uv_timer_t timer;
    struct hearing *hearing;
    struct actions *actions;
    struct advice last;
    uint32_t quiet; // decisions since the last publication
    metric_id ids[sizeof(metric_defs) / sizeof(metric_defs[0])];
    metric_id decisions[4];
};

static void register_metrics(struct scaler_advisor *advisor)
{
    struct metric_set *set = advisor->service->metrics;
    for (size_t i = 0; i < sizeof(metric_defs) / sizeof(metric_defs[0]); i++) {
        if (metric_defs[i].labels[0] == '\0')
            advisor->ids[i] = metric_register(set, &metric_defs[i], NULL);
    }
    for (int i = 0; i < 4; i++) {
        const char *const labels[] = {advice_action_names[i]};
        advisor->decisions[i] = metric_register(set, &metric_defs[METRIC_INDEX_decisions], labels);
    }
}

static void add_chain(const struct advice *advice, Valvechain__V1__Proposal *proposals,
                      Valvechain__V1__Clamp *clamps)
{
    for (uint32_t i = 0; i < advice->n_signals; i++) {
        const struct advice_signal *signal = &advice->signals[i];
        valvechain__v1__proposal__init(&proposals[i]);
        proposals[i].signal = (char *)(uintptr_t)signal->signal;
        proposals[i].value = signal->value;
        proposals[i].threshold = signal->threshold;
        proposals[i].proposed_instances = signal->proposed;
    }
    for (uint32_t i = 0; i < advice->n_clamps; i++) {
        valvechain__v1__clamp__init(&clamps[i]);
        clamps[i].rule = (char *)(uintptr_t)advice->clamps[i].rule;
        clamps[i].before = advice->clamps[i].before;
        clamps[i].after = advice->clamps[i].after;
    }
}

static void publish_advice(struct scaler_advisor *advisor, struct advice *advice)
{
    Valvechain__V1__Origin origin = VALVECHAIN__V1__ORIGIN__INIT;
    Valvechain__V1__Advice message = VALVECHAIN__V1__ADVICE__INIT;
    Valvechain__V1__Proposal proposals[ADVICE_SIGNALS_MAX];
    Valvechain__V1__Clamp clamps[ADVICE_CLAMPS_MAX];
    Valvechain__V1__Proposal *proposal_list[ADVICE_SIGNALS_MAX];
    Valvechain__V1__Clamp *clamp_list[ADVICE_CLAMPS_MAX];
    bus_origin(advisor->service->bus, &origin);
    add_chain(advice, proposals, clamps);
    for (uint32_t i = 0; i < advice->n_signals; i++)
        proposal_list[i] = &proposals[i];
    for (uint32_t i = 0; i < advice->n_clamps; i++)
        clamp_list[i] = &clamps[i];
    message.origin = &origin;
    message.sequence = advice->sequence;
    message.action = (char *)(uintptr_t)advice_action_names[advice->action];
    message.reason = advice->reason;
    message.priority = advice->priority;
    message.current_instances = advice->current;
    message.desired_instances = advice->desired;
    message.valid = advice->valid != 0;
    message.n_proposals = advice->n_signals;
    message.proposals = proposal_list;
    message.n_clamps = advice->n_clamps;
    message.clamps = clamp_list;
    bus_publish(advisor->service->bus, "advice.update", &message.base); // the bus counts a drop
}

static void write_gauges(struct scaler_advisor *advisor, const struct advice *advice)
{
    struct metric_set *set = advisor->service->metrics;
    metric_add(set, advisor->decisions[advice->action], 1);
    metric_gauge(set, advisor->ids[METRIC_INDEX_valid], advice->valid);
    metric_gauge(set, advisor->ids[METRIC_INDEX_current], advice->current);
    if (advice->valid)
        metric_gauge(set, advisor->ids[METRIC_INDEX_desired], advice->desired);
}

static void note_change(struct scaler_advisor *advisor, struct advice *advice)
{
    bool changed =
        advice->action != advisor->last.action || advice->desired != advisor->last.desired;
    if (advice->changed_ns != advisor->last.changed_ns)
        metric_add(advisor->service->metrics, advisor->ids[METRIC_INDEX_changes], 1);
    if (changed)
        log_info("advice.changed", advice->reason,
                 LSTR("action", advice_action_names[advice->action]),
                 LUINT("current", advice->current), LUINT("desired", advice->desired));
    if (changed || ++advisor->quiet >= PUBLISH_EVERY) {
        publish_advice(advisor, advice);
        advisor->quiet = 0;
    }
    advisor->last = *advice;
}

// Blindness is a finding; measuring a first evaluation period after the start is not.
static void note_blindness(struct scaler_advisor *advisor, uint64_t now_ns, bool is_blind,
                           const struct advice *advice)
{
    bool starting =
        now_ns - advisor->service->start_ns < 2 * advisor->params->stale_after_s * NS_PER_S;
    const char *text = is_blind && !starting ? advice->reason : actions_finding(advisor->actions);

    service_set_finding(advisor->service, text);
}

static void save_state(struct scaler_advisor *advisor)
{
    int error = state_file_save(advisor->state_path, &advisor->state);

    if (error < 0 && !advisor->save_failed)
        log_warn("advice.state_not_saved",
                 "what the advisor remembers would not outlive it: the file cannot be written",
                 LSTR("path", advisor->state_path), LSTR("error", strerror(-error)));
    advisor->save_failed = error < 0;
    advisor->unsaved = 0;
}

static void on_second(uv_timer_t *timer)
{
    struct scaler_advisor *advisor = timer->data;
    struct advice advice;
    uint64_t now_ns = clock_mono_ns(), changed_ns = advisor->state.changed_ns;
    struct hosts_sum sum;

    hearing_read(advisor->hearing, now_ns, &sum);
    bool is_blind = sum.hosts == 0 || sum.instances + sum.missing == 0;
    const struct advice_sample sample = sampling_of(&sum, now_ns, TICK_MS * NS_PER_MS);

    if (sum.hosts > 0)
        is_blind |= !advice_observe(&advisor->state, &advisor->policy, &sample);
    advice_decide(&advisor->state, &advisor->policy, now_ns, &advice);
    advice_write(advisor->service->segment, &advice);
    // Before anybody acts on a change, it is remembered.
    if (changed_ns != advisor->state.changed_ns || ++advisor->unsaved >= SAVE_EVERY)
        save_state(advisor);
    write_gauges(advisor, &advice);
    note_blindness(advisor, now_ns, is_blind, &advice);
    note_change(advisor, &advice);
    actions_advice(advisor->actions, &advice);
}

static int advisor_check(void *const *params, const struct config_model *model,
                         struct problems *problems)
{
    struct advice_policy ignored;
    size_t before = problems->n;

    (void)advice_policy_compile(params[0], &model->advice, SAMPLE_STALE_S, problems, &ignored);
    if (model->advice.mode == CONFIG_ADVICE_HPA)
        problems_add(problems, "advice.mode: 'hpa' counts a change as made once it is advised, so "
                               "it is for simulations; allowed here: full");
    if (model->advice.in_flight_target > 0)
        problems_add(problems, "advice.in_flight_target: no agent tells the requests in flight, so "
                               "it is for simulations; allowed here: 0");
    actions_check(params[1], problems);
    agents_check(params[1], problems);
    return problems->n > before ? -EINVAL : 0;
}

static int advisor_take_params(struct scaler_advisor *advisor)
{
    struct problems problems = PROBLEMS_INIT; // advisor_check() has told them
    const struct service *service = advisor->service;
    int error = advice_policy_compile(service->params[0], &service->model->advice, SAMPLE_STALE_S,
                                      &problems, &advisor->policy);

    advisor->params = service->params[1];
    problems_fini(&problems);
    return error;
}

// What an earlier life remembers holds, with its cooldown and its averages.
static void load_state(struct scaler_advisor *advisor)
{
    if (state_file_load(advisor->state_path, &advisor->state))
        advice_adapt(&advisor->state, &advisor->policy);
    else
        advice_init(&advisor->state, &advisor->policy);
    (void)advice_read(advisor->service->segment, &advisor->last);
}

static int advisor_setup(struct service *service, void **ret_state)
{
    struct scaler_advisor *advisor = calloc(1, sizeof(*advisor));
    if (!advisor)
        return -ENOMEM;
    advisor->service = service;
    register_metrics(advisor);
    int error = advisor_take_params(advisor);
    if (error == 0)
        error = state_file_path(service, advisor->params->state_path, advisor->state_path);
    if (error == 0)
        error = hearing_open(service, advisor->params, &advisor->hearing);
    if (error == 0)
        error = actions_create(service, advisor->params, &advisor->actions);
    if (error < 0) {
        hearing_close(&advisor->hearing);
        free(advisor);
        return error;
    }
    load_state(advisor);
    uv_timer_init(service->loop, &advisor->timer);
    advisor->timer.data = advisor;
    uv_timer_start(&advisor->timer, on_second, TICK_MS, TICK_MS);
    *ret_state = advisor;
    return 0;
}

static int advisor_reload(struct service *service, void *state)
{
    struct scaler_advisor *advisor = state;
    int error = advisor_take_params(advisor);
    (void)service;
    if (error < 0)
        return error;
    advice_adapt(&advisor->state, &advisor->policy);
    actions_take_params(advisor->actions, advisor->params);
    hearing_take_params(advisor->hearing, advisor->params);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void advisor_teardown(struct service *service, void *state)
{
    struct scaler_advisor *advisor = state;
    (void)service;
    save_state(advisor);
    actions_destroy(&advisor->actions);
    hearing_close(&advisor->hearing);
    uv_close((uv_handle_t *)&advisor->timer, on_timer_closed);
}

static const struct param_group *const groups[] = {&autoscaling_param_group, &advisor_param_group,
                                                   NULL};

const struct service_descriptor scaler_advisor_descriptor = {
    .name = "scaler-advisor",
    .summary = "says how many instances the load needs, and why",
    .groups = groups,
    .metrics = metric_defs,
    .n_metrics = sizeof(metric_defs) / sizeof(metric_defs[0]),
    .check = advisor_check,
    .setup = advisor_setup,
    .reload = advisor_reload,
    .teardown = advisor_teardown,
};
