#include "agent_params.h"

static const struct param_row agent_rows[] = {
#define PARAM_STRUCT_TYPE struct agent_params
#define PARAM_ROWS        "params.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};

const struct param_group agent_param_group = {
    .name = "agent",
    .title = "metrics-agent",
    .rows = agent_rows,
    .n_rows = sizeof(agent_rows) / sizeof(agent_rows[0]),
    .struct_bytes = sizeof(struct agent_params),
};
