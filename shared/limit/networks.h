// Networks that no limit binds and networks that are always refused: those of ALLOW_NETWORKS and
// DENY_NETWORKS, and those that operators added at run time. Allowed wins over denied.
// Thread: one a struct.
#ifndef VALVECHAIN_LIMIT_NETWORKS_H
#define VALVECHAIN_LIMIT_NETWORKS_H

#include "config/params.h"
#include "limit/operator.h"

struct networks {
    struct cidr_list deny, allow;
};

// Both parameters; what is none, or stands in both, is named in `problems`.
int networks_parse(const struct limits_params *params, struct problems *problems,
                   struct networks *ret_networks);
void networks_fini(struct networks *networks);
// Empty lists cost one look at the operators' generation. `operators` NULL: there are none.
enum operator_word networks_judge(const struct networks *networks, struct operator_view *operators,
                                  const struct address *address);

#endif
