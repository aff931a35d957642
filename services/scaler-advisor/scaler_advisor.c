#include "scaler_advisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "advisor_params.h"
#include "agents.h"
#include "base/clock.h"
#include "base/log.h"
#include "decision.h"
#include "evaluation.h"
#include "hearing.h"

enum {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_enum.inc"
};
static const struct metric_def metric_defs[] = {
#include "metric/metric_table.inc"
};
#undef METRIC_ROWS

#define PUBLISH_EVERY 15 // decisions without a change between two confirmations on the bus

struct scaler_advisor {
    struct service *service;
    const struct autoscaling_params *policy;
    const struct advisor_params *params;
    uv_timer_t timer;
    struct evaluation cpu, rps;
    struct decision_state state;
    struct hearing *hearing;
    struct actions *actions;
    struct advice last;
    uint64_t sequence;
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
    message.sequence = ++advisor->sequence;
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
static void note_blindness(struct scaler_advisor *advisor, const struct decision_inputs *inputs,
                           const struct advice *advice)
{
    bool starting =
        inputs->now_ns - advisor->service->start_ns < 2 * advisor->params->stale_after_s * NS_PER_S;
    bool is_blind = !inputs->fresh || inputs->current == 0;
    service_set_finding(advisor->service,
                        is_blind && !starting ? advice->reason : actions_finding(advisor->actions));
}

static void on_second(uv_timer_t *timer)
{
    struct scaler_advisor *advisor = timer->data;
    struct advice advice;
    uint64_t now_ns = clock_mono_ns();
    struct hosts_sum sum;
    hearing_read(advisor->hearing, now_ns, &sum);
    struct decision_inputs inputs = {
        .now_ns = now_ns,
        .current = sum.instances + sum.missing,
        .fresh = sum.hosts > 0,
    };
    if (sum.cpu.measured > 0)
        evaluation_add(&advisor->cpu, now_ns, sum.cpu.percent);
    if (sum.rate_measured > 0)
        evaluation_add(&advisor->rps, now_ns, sum.requests_per_s / sum.rate_measured);
    evaluation_read(&advisor->cpu, now_ns, &inputs.cpu);
    evaluation_read(&advisor->rps, now_ns, &inputs.rps);
    decision_make(advisor->policy, &inputs, &advisor->state, &advice);
    advice_write(advisor->service->segment, &advice);
    write_gauges(advisor, &advice);
    actions_advice(advisor->actions, &advice);
    note_blindness(advisor, &inputs, &advice);
    note_change(advisor, &advice);
}

static int advisor_check(void *const *params, const struct config_model *model,
                         struct problems *problems)
{
    const struct autoscaling_params *policy = params[0];
    size_t before = problems->n;
    (void)model;
    if (policy->cpu_down_percent >= policy->cpu_up_percent)
        problems_add(
            problems, "CPU_SCALE_DOWN_THRESHOLD: %lu is not below CPU_SCALE_UP_THRESHOLD, %lu",
            (unsigned long)policy->cpu_down_percent, (unsigned long)policy->cpu_up_percent);
    if (policy->rps_down >= policy->rps_up)
        problems_add(problems,
                     "RPS_SCALE_DOWN_THRESHOLD: %lu is not below RPS_SCALE_UP_THRESHOLD, %lu",
                     (unsigned long)policy->rps_down, (unsigned long)policy->rps_up);
    if (policy->min_instances > policy->max_instances)
        problems_add(problems, "MIN_INSTANCES: %lu is above MAX_INSTANCES, %lu",
                     (unsigned long)policy->min_instances, (unsigned long)policy->max_instances);
    actions_check(params[1], problems);
    agents_check(params[1], problems);
    return problems->n > before ? -EINVAL : 0;
}

static void advisor_take_params(struct scaler_advisor *advisor)
{
    advisor->policy = advisor->service->params[0];
    advisor->params = advisor->service->params[1];
}

// The cooldown of an earlier life holds: what was advised and when stands in the segment.
static void adopt_last_advice(struct scaler_advisor *advisor)
{
    struct advice advice;
    uint64_t now_ns = clock_mono_ns();
    if (!advice_read(advisor->service->segment, &advice) || advice.changed_ns == 0 ||
        advice.changed_ns > now_ns || advice.advised == 0)
        return;
    advisor->state = (struct decision_state){advice.advised, advice.changed_ns};
    advisor->last = advice;
}

static int advisor_setup(struct service *service, void **ret_state)
{
    struct scaler_advisor *advisor = calloc(1, sizeof(*advisor));
    if (!advisor)
        return -ENOMEM;
    advisor->service = service;
    advisor_take_params(advisor);
    register_metrics(advisor);
    adopt_last_advice(advisor);
    int error = evaluation_init(&advisor->cpu, advisor->policy->cpu_period_s);
    if (error == 0)
        error = evaluation_init(&advisor->rps, advisor->policy->rps_period_s);
    if (error == 0)
        error = hearing_open(service, advisor->params, &advisor->hearing);
    if (error == 0)
        error = actions_create(service, advisor->params, &advisor->actions);
    if (error < 0) {
        hearing_close(&advisor->hearing);
        evaluation_fini(&advisor->cpu);
        evaluation_fini(&advisor->rps);
        free(advisor);
        return error;
    }
    uv_timer_init(service->loop, &advisor->timer);
    advisor->timer.data = advisor;
    uv_timer_start(&advisor->timer, on_second, 1000, 1000);
    *ret_state = advisor;
    return 0;
}

static int advisor_reload(struct service *service, void *state)
{
    struct scaler_advisor *advisor = state;
    (void)service;
    advisor_take_params(advisor);
    actions_take_params(advisor->actions, advisor->params);
    hearing_take_params(advisor->hearing, advisor->params);
    int error = evaluation_set_period(&advisor->cpu, advisor->policy->cpu_period_s);
    int rps_error = evaluation_set_period(&advisor->rps, advisor->policy->rps_period_s);
    return error < 0 ? error : rps_error;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void advisor_teardown(struct service *service, void *state)
{
    struct scaler_advisor *advisor = state;
    (void)service;
    evaluation_fini(&advisor->cpu);
    evaluation_fini(&advisor->rps);
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
