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

// One of them would have no effect, and nobody would see which.
static int refuse_common(const struct networks *networks, struct problems *problems)
{
    int result = 0;
    for (size_t i = 0; i < networks->deny.n; i++) {
        for (size_t j = 0; j < networks->allow.n; j++) {
            struct cidr one = networks->deny.items[i], other = networks->allow.items[j];
            address_mask(&one.network, one.prefix_bits);
            address_mask(&other.network, other.prefix_bits);
            if (one.prefix_bits == other.prefix_bits &&
                memcmp(&one.network, &other.network, sizeof(one.network)) == 0) {
                char text[ADDRESS_TEXT_MAX];
                (void)address_format(&one.network, text);
                problems_add(problems,
                             "DENY_NETWORKS and ALLOW_NETWORKS both have %s/%u; allowed is one of "
                             "them",
                             text, one.prefix_bits);
                result = -EINVAL;
            }
        }
    }
    return result;
}

int networks_parse(const struct limits_params *params, struct problems *problems,
                   struct networks *ret_networks)
{
    struct networks networks = {.deny = {0}};
    int denied = parse("DENY_NETWORKS", params->deny_networks, problems, &networks.deny);
    int allowed = parse("ALLOW_NETWORKS", params->allow_networks, problems, &networks.allow);
    int r = denied < 0 ? denied : allowed < 0 ? allowed : refuse_common(&networks, problems);
    if (r < 0) {
        networks_fini(&networks);
        return r;
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
