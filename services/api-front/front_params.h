// api-front's own parameters (params.def), and all groups it reads, in the order of
// service->params.
#ifndef VALVECHAIN_API_FRONT_FRONT_PARAMS_H
#define VALVECHAIN_API_FRONT_FRONT_PARAMS_H

#include "config/params.h"

struct front_params {
#define PARAM_ROWS "params.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};

enum forwarded_by { FORWARDED_BY_AUTO, FORWARDED_BY_XFF, FORWARDED_BY_FORWARDED };

enum front_group { // index into service->params
    FRONT_GROUP_FRONT,
    FRONT_GROUP_LIMITS,
    FRONT_GROUP_BREAKERS,
    FRONT_GROUP_UPSTREAMS,
    FRONT_GROUP_MONITORING,
    FRONT_GROUPS,
};

extern const struct param_group front_param_group;
extern const struct param_group *const front_param_groups[FRONT_GROUPS + 1]; // NULL-terminated

#endif
