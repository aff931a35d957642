#include "advisor_params.h"

static const struct param_row advisor_rows[] = {
#define PARAM_STRUCT_TYPE struct advisor_params
#define PARAM_ROWS        "params.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};

const struct param_group advisor_param_group = {
    .name = "advisor",
    .title = "scaler-advisor",
    .rows = advisor_rows,
    .n_rows = sizeof(advisor_rows) / sizeof(advisor_rows[0]),
    .struct_bytes = sizeof(struct advisor_params),
};
