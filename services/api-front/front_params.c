#include "front_params.h"

static const struct param_row front_rows[] = {
#define PARAM_STRUCT_TYPE struct front_params
#define PARAM_ROWS        "params.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};

const struct param_group front_param_group = {
    .name = "front",
    .title = "The gateway",
    .rows = front_rows,
    .n_rows = sizeof(front_rows) / sizeof(front_rows[0]),
    .struct_bytes = sizeof(struct front_params),
};

const struct param_group *const front_param_groups[FRONT_GROUPS + 1] = {
    [FRONT_GROUP_FRONT] = &front_param_group,
    [FRONT_GROUP_LIMITS] = &limits_param_group,
    [FRONT_GROUP_BREAKERS] = &breakers_param_group,
    [FRONT_GROUP_UPSTREAMS] = &upstreams_param_group,
    [FRONT_GROUP_MONITORING] = &monitoring_param_group,
};
