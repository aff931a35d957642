// valvectl limit reset, limit set, deny add|del, allow add|del: asked of the limiter, which does it
// and records who and why.
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "base/parse.h"
#include "limit/key_state.h"
#include "limit/operator.h"
#include "net/bus.h"

static void print_done(void *arg, const ProtobufCMessage *reply)
{
    const Valvechain__V1__LimitChangeDone *done = (const void *)reply;
    (void)arg;
    puts(done->done);
}

static int ask_limiter(const struct valvectl *ctl, const char *topic,
                       const ProtobufCMessage *message)
{
    return ask(ctl, "limiter", topic, message, print_done, NULL);
}

int command_limit_reset(struct valvectl *ctl)
{
    char policy[LIMIT_NAME_MAX], key[KEY_TEXT_MAX], who[OPERATOR_TEXT_MAX];
    Valvechain__V1__LimitChange change = VALVECHAIN__V1__LIMIT_CHANGE__INIT;
    if (!valvectl_take_key(ctl, policy, key))
        return VALVECTL_FINDING;
    valvectl_who(who);
    change.policy = policy;
    change.key = key;
    change.who = who;
    change.why = valvectl_text(ctl->reason ? ctl->reason : "");
    return ask_limiter(ctl, "limit.reset", &change.base);
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
    if (!policy[0] || (!change.end && (!ctl->for_text || !ctl->reason || !ctl->reason[0]))) {
        fputs("valvectl: limit set needs POLICY KEY... --limit N --for TIME --reason TEXT\n",
              stderr);
        return VALVECTL_FINDING;
    }
    if (ctl->for_text && !valvectl_duration(ctl->for_text, &change.for_ms))
        return VALVECTL_FINDING;
    valvectl_who(who);
    change.policy = policy;
    change.key = key;
    change.who = who;
    change.why = valvectl_text(ctl->reason ? ctl->reason : "");
    return ask_limiter(ctl, "limit.set", &change.base);
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
    valvectl_who(who);
    change.list = valvectl_text(list);
    change.network = ctl->argv[0];
    change.remove = remove;
    change.who = who;
    change.why = valvectl_text(ctl->reason ? ctl->reason : "");
    return ask_limiter(ctl, "limit.network", &change.base);
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
