#include "limit/networks.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

static int parse(const char *name, const char *text, struct problems *problems,
                 struct cidr_list *ret_list)
{
    const char *bad = "";
    int r = cidr_list_parse(text, ret_list, &bad);
    if (r == -EINVAL) {
        problems_add(problems,
                     "%s: '%.*s' is no address, CIDR block, loopback, private, all or none", name,
                     (int)strcspn(bad, ","), bad);
    }
    return r;
}

int networks_parse(const struct limits_params *params, struct problems *problems,
                   struct networks *ret_networks)
{
    struct networks networks = {.deny = {0}};
    int denied = parse("DENY_NETWORKS", params->deny_networks, problems, &networks.deny);
    int allowed = parse("ALLOW_NETWORKS", params->allow_networks, problems, &networks.allow);
    if (denied < 0 || allowed < 0) {
        networks_fini(&networks);
        return denied < 0 ? denied : allowed;
    }
    *ret_networks = networks;
    return 0;
}

void networks_fini(struct networks *networks)
{
    cidr_list_fini(&networks->deny);
    cidr_list_fini(&networks->allow);
}

enum operator_word networks_judge(const struct networks *networks, struct operator_view *operators,
                                  const struct address *address)
{
    enum operator_word word =
        operators ? operator_judge(operators, address, clock_mono_ns) : OPERATOR_SAYS_NOTHING;
    if (word == OPERATOR_ALLOWS || cidr_list_has(&networks->allow, address)) {
        return OPERATOR_ALLOWS;
    }
    return word == OPERATOR_DENIES || cidr_list_has(&networks->deny, address)
               ? OPERATOR_DENIES
               : OPERATOR_SAYS_NOTHING;
}
