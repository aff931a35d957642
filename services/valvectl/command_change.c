// valvectl limit reset, limit set, deny add|del, allow add|del: asked of the limiter, which does it
// and records who and why.
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/parse.h"
#include "limit/key_state.h"
#include "limit/operator.h"
#include "net/bus.h"
#include "service/service.h"
#include "valvectl.h"

#define ANSWER_MS 5000

struct outcome {
    uv_loop_t *loop;
    int result;
};

static void answered(void *arg, int error, const ProtobufCMessage *reply)
{
    struct outcome *outcome = arg;
    outcome->result = VALVECTL_FINDING;
    if (error == 0) {
        const Valvechain__V1__LimitChangeDone *done = (const void *)reply;
        puts(done->done);
        outcome->result = VALVECTL_OK;
    } else if (error == -EOPNOTSUPP && reply) {
        const Valvechain__V1__Refusal *refusal = (const void *)reply;
        fprintf(stderr, "valvectl: refused: %s\n", refusal->reason);
    } else {
        fprintf(stderr, "valvectl: no answer of the limiter: %s\n", strerror(-error));
        outcome->result = VALVECTL_UNREACHABLE;
    }
    uv_stop(outcome->loop);
}

static int ask(struct valvectl *ctl, const char *topic, const ProtobufCMessage *message)
{
    char socket_dir[108], instance[24];
    uv_loop_t loop;
    struct bus *bus = NULL;
    struct outcome outcome = {.loop = &loop, .result = VALVECTL_UNREACHABLE};
    int error = service_socket_dir(&ctl->suite, socket_dir, sizeof(socket_dir));
    snprintf(instance, sizeof(instance), "%d", (int)getpid());
    struct bus_options options = {.socket_dir = socket_dir,
                                  .suite = ctl->suite.name,
                                  .process = "valvectl",
                                  .instance = instance};
    uv_loop_init(&loop);
    if (error == 0)
        error = bus_open(&loop, &options, &bus);
    if (error == 0)
        error = bus_request(bus, "limiter", topic, message, ANSWER_MS, answered, &outcome);
    if (error == 0)
        uv_run(&loop, UV_RUN_DEFAULT);
    else
        fprintf(stderr, "valvectl: cannot ask the limiter: %s\n", strerror(-error));
    if (bus)
        bus_close(&bus);
    uv_run(&loop, UV_RUN_DEFAULT); // the handles' close callbacks
    uv_loop_close(&loop);
    return outcome.result;
}

// Who sits here, as far as the system knows.
static void who_am_i(char who[OPERATOR_TEXT_MAX])
{
    const struct passwd *entry = getpwuid(getuid());
    snprintf(who, OPERATOR_TEXT_MAX, "%.60s (uid %u)", entry ? entry->pw_name : "?", getuid());
}

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant; // protobuf-c only reads it
}

int command_limit_reset(struct valvectl *ctl)
{
    char policy[LIMIT_NAME_MAX], key[KEY_TEXT_MAX], who[OPERATOR_TEXT_MAX];
    Valvechain__V1__LimitChange change = VALVECHAIN__V1__LIMIT_CHANGE__INIT;
    if (!valvectl_take_key(ctl, policy, key))
        return VALVECTL_FINDING;
    who_am_i(who);
    change.policy = policy;
    change.key = key;
    change.who = who;
    change.why = text(ctl->reason ? ctl->reason : "");
    return ask(ctl, "limit.reset", &change.base);
}

static bool take_limit(const struct valvectl *ctl, Valvechain__V1__LimitChange *change)
{
    if (!ctl->limit) {
        fputs("valvectl: limit set needs --limit N, --limit unlimited or --limit policy\n", stderr);
        return false;
    }
    change->unlimited = strcmp(ctl->limit, "unlimited") == 0;
    change->end = strcmp(ctl->limit, "policy") == 0;
    if (change->unlimited || change->end)
        return true;
    if (parse_u64(ctl->limit, 0, UINT32_MAX, &change->limit) == 0)
        return true;
    fprintf(stderr,
            "valvectl: --limit is '%s', allowed are 0 to 4294967295, unlimited and policy\n",
            ctl->limit);
    return false;
}

int command_limit_set(struct valvectl *ctl)
{
    char policy[LIMIT_NAME_MAX], key[KEY_TEXT_MAX], who[OPERATOR_TEXT_MAX];
    Valvechain__V1__LimitChange change = VALVECHAIN__V1__LIMIT_CHANGE__INIT;
    if (!valvectl_take_key(ctl, policy, key) || !take_limit(ctl, &change))
        return VALVECTL_FINDING;
    if (!policy[0] || (!change.end && (!ctl->for_text || !ctl->reason))) {
        fputs("valvectl: limit set needs POLICY KEY --limit N --for TIME --reason TEXT\n", stderr);
        return VALVECTL_FINDING;
    }
    if (ctl->for_text && !valvectl_duration(ctl->for_text, &change.for_ms))
        return VALVECTL_FINDING;
    who_am_i(who);
    change.policy = policy;
    change.key = key;
    change.who = who;
    change.why = text(ctl->reason ? ctl->reason : "");
    return ask(ctl, "limit.set", &change.base);
}

static int change_network(struct valvectl *ctl, const char *list, bool remove)
{
    char who[OPERATOR_TEXT_MAX];
    Valvechain__V1__NetworkChange change = VALVECHAIN__V1__NETWORK_CHANGE__INIT;
    if (ctl->argc != 1) {
        fprintf(stderr, "valvectl: %s needs one address or CIDR block\n", list);
        return VALVECTL_FINDING;
    }
    if (ctl->for_text && !valvectl_duration(ctl->for_text, &change.for_ms))
        return VALVECTL_FINDING;
    who_am_i(who);
    change.list = text(list);
    change.network = ctl->argv[0];
    change.remove = remove;
    change.who = who;
    change.why = text(ctl->reason ? ctl->reason : "");
    return ask(ctl, "limit.network", &change.base);
}

int command_deny_add(struct valvectl *ctl)
{
    return change_network(ctl, "deny", false);
}

int command_deny_del(struct valvectl *ctl)
{
    return change_network(ctl, "deny", true);
}

int command_allow_add(struct valvectl *ctl)
{
    return change_network(ctl, "allow", false);
}

int command_allow_del(struct valvectl *ctl)
{
    return change_network(ctl, "allow", true);
}
