#include "breaker_params.h"

static const struct param_row breaker_rows[] = {
#define PARAM_STRUCT_TYPE struct breaker_params
#define PARAM_ROWS        "params.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};

const struct param_group breaker_param_group = {
    .name = "breaker",
    .title = "breaker",
    .rows = breaker_rows,
    .n_rows = sizeof(breaker_rows) / sizeof(breaker_rows[0]),
    .struct_bytes = sizeof(struct breaker_params),
};
