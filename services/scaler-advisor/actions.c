#include "actions.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "action_body.h"
#include "action_exec.h"
#include "action_plan.h"
#include "action_webhook.h"
#include "base/clock.h"
#include "base/log.h"

enum {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_enum.inc"
};
static const struct metric_def metric_defs[] = {
#include "metric/metric_table.inc"
};
#undef METRIC_ROWS

enum action_kind { KIND_NONE, KIND_EXEC, KIND_WEBHOOK }; // choices of ACTION
static const char *const outcome_names[ACTION_OUTCOMES] = {"ok", "refused", "timeout", "unreached"};

struct actions {
    struct service *service;
    const struct advisor_params *params;
    struct curl_loop *curl;
    struct action_plan plan;
    struct action_exec *exec;       // under way, or NULL
    struct action_webhook *webhook; // the same
    char delivery[96];
    char finding[240];
    metric_id attempts[ACTION_OUTCOMES], given_up, behind, instances;
};

static void show(struct actions *actions)
{
    struct metric_set *set = actions->service->metrics;
    metric_gauge(set, actions->behind, action_plan_is_behind(&actions->plan) ? 1 : 0);
    if (actions->plan.done_known)
        metric_gauge(set, actions->instances, actions->plan.done);
}

static void tell(struct actions *actions, const struct action_result *result,
                 enum action_verdict verdict)
{
    const struct action_plan *plan = &actions->plan;
    if (verdict == ACTION_IN_FORCE) {
        log_info("action.done", "the advised number is carried out", LUINT("desired", plan->done),
                 LSTR("result", result->text));
        actions->finding[0] = '\0';
        return;
    }
    log_warn("action.failed", "the advised number could not be carried out",
             LUINT("desired", plan->wanted), LSTR("outcome", outcome_names[result->outcome]),
             LSTR("result", result->text), LUINT("failures", plan->failures));
    snprintf(actions->finding, sizeof(actions->finding),
             "%u instances are advised and not carried out: %.180s", plan->wanted, result->text);
    if (verdict == ACTION_GIVEN_UP) {
        metric_add(actions->service->metrics, actions->given_up, 1);
        log_error("action.given_up", "not tried again until another number is advised",
                  LUINT("desired", plan->wanted), LUINT("attempts", plan->failures));
    }
}

static void on_end(void *arg, const struct action_result *result)
{
    struct actions *actions = arg;
    const struct action_bounds bounds = {actions->params->action_retry_max_s * NS_PER_S,
                                         actions->params->action_retry_for_s * NS_PER_S};
    actions->exec = NULL;
    actions->webhook = NULL;
    metric_add(actions->service->metrics, actions->attempts[result->outcome], 1);
    enum action_verdict verdict =
        action_plan_end(&actions->plan, clock_mono_ns(), result->outcome == ACTION_OK,
                        result->retry_after_ns, randombytes_random(), &bounds);
    tell(actions, result, verdict);
    show(actions);
}

static int start_exec(struct actions *actions, const struct strbuf *body)
{
    const struct action_program program = {
        .path = actions->params->action_program,
        .limit_ms = actions->params->action_limit_s * 1000,
        .suite = actions->service->suite->name,
        .desired = actions->plan.wanted,
        .body = body->text,
        .body_bytes = body->len,
    };
    return action_exec_start(actions->service->loop, &program, on_end, actions, &actions->exec);
}

static int start_webhook(struct actions *actions, const struct strbuf *body, uint64_t wall_s)
{
    if (actions->plan.failures == 0)
        snprintf(actions->delivery, sizeof(actions->delivery), "%.48s-%lu-%u",
                 actions->service->suite->name, (unsigned long)wall_s, actions->plan.wanted);
    const struct action_post post = {
        .url = actions->params->action_url,
        .ca_file = actions->params->action_ca_file,
        .secret = actions->params->action_secret,
        .limit_ms = actions->params->action_limit_s * 1000,
        .delivery = actions->delivery,
        .wall_s = wall_s,
        .body = body->text,
        .body_bytes = body->len,
    };
    return action_webhook_start(actions->curl, &post, on_end, actions, &actions->webhook);
}

static void start(struct actions *actions, const struct advice *advice)
{
    struct strbuf body = STRBUF_INIT;
    uint64_t wall_s = clock_wall_ns() / NS_PER_S;
    int error = -ENOMEM;
    action_body_write(advice, actions->service->suite->name, wall_s, &body);
    if (strbuf_ok(&body))
        error = actions->params->action == KIND_EXEC ? start_exec(actions, &body)
                                                     : start_webhook(actions, &body, wall_s);
    strbuf_fini(&body);
    if (error < 0) {
        struct action_result result = {.outcome = ACTION_UNREACHED};
        snprintf(result.text, sizeof(result.text), "%.120s could not be started: %s",
                 actions->params->action == KIND_EXEC ? actions->params->action_program
                                                      : "the POST",
                 strerror(-error));
        on_end(actions, &result);
    }
}

void actions_advice(struct actions *actions, const struct advice *advice)
{
    if (actions->params->action == KIND_NONE)
        return;
    if (action_plan_next(&actions->plan, clock_mono_ns(), advice->valid != 0, advice->current,
                         advice->desired))
        start(actions, advice);
    show(actions);
}

const char *actions_finding(const struct actions *actions)
{
    return action_plan_is_behind(&actions->plan) ? actions->finding : "";
}

void actions_take_params(struct actions *actions, const struct advisor_params *params)
{
    actions->params = params;
    actions->plan.next_ns = 0;
    actions->plan.given_up = false;
    if (params->action == KIND_NONE && !actions->plan.running) {
        actions->plan = (struct action_plan){0};
        show(actions);
    }
}

int actions_create(struct service *service, const struct advisor_params *params,
                   struct actions **ret_actions)
{
    struct actions *actions = calloc(1, sizeof(*actions));
    if (actions == NULL)
        return -ENOMEM;
    *actions = (struct actions){.service = service, .params = params};
    int error = curl_loop_create(service->loop, &actions->curl);
    if (error < 0) {
        free(actions);
        return error;
    }
    struct metric_set *set = service->metrics;
    for (int i = 0; i < ACTION_OUTCOMES; i++) {
        const char *const labels[] = {outcome_names[i]};
        actions->attempts[i] =
            metric_register(set, &metric_defs[METRIC_INDEX_action_attempts], labels);
    }
    actions->given_up = metric_register(set, &metric_defs[METRIC_INDEX_action_given_up], NULL);
    actions->behind = metric_register(set, &metric_defs[METRIC_INDEX_action_behind], NULL);
    actions->instances = metric_register(set, &metric_defs[METRIC_INDEX_action_instances], NULL);
    *ret_actions = actions;
    return 0;
}

void actions_destroy(struct actions **actions_p)
{
    struct actions *actions = *actions_p;
    *actions_p = NULL;
    if (actions == NULL)
        return;
    action_exec_cancel(&actions->exec);
    action_webhook_cancel(&actions->webhook);
    curl_loop_destroy(&actions->curl);
    free(actions);
}

static bool is_web_url(const char *text)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *user = NULL;
    bool ok = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0) &&
              curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_NO_USER;
    curl_free(scheme);
    curl_free(user);
    curl_url_cleanup(url);
    return ok;
}

int actions_check(const struct advisor_params *params, struct problems *problems)
{
    size_t before = problems->n;
    const char *url = params->action_url, *secret = params->action_secret;
    if (params->action == KIND_EXEC && params->action_program == NULL)
        problems_add(problems, "ACTION_PROGRAM: ACTION=exec needs it, allowed: an absolute path");
    if (params->action == KIND_WEBHOOK && (url == NULL || !is_web_url(url)))
        problems_add(problems, "ACTION_URL: ACTION=webhook needs http://HOST/PATH or "
                               "https://HOST/PATH, without a name and password");
    if (params->action == KIND_WEBHOOK && (secret == NULL || strlen(secret) < ACTION_SECRET_MIN))
        problems_add(problems, "ACTION_SECRET: ACTION=webhook needs one of at least %d bytes",
                     ACTION_SECRET_MIN);
    return problems->n > before ? -EINVAL : 0;
}
