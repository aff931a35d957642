#include "config/params.h"

#define ROWS(type) static const struct param_row type##_rows[]
#define GROUP(type, title_)                                                                        \
    const struct param_group type##_param_group = {                                                \
        .name = #type,                                                                             \
        .title = (title_),                                                                         \
        .rows = type##_rows,                                                                       \
        .n_rows = sizeof(type##_rows) / sizeof(type##_rows[0]),                                    \
        .struct_bytes = sizeof(struct type##_params),                                              \
    }

ROWS(suite) = {
#define PARAM_STRUCT_TYPE struct suite_params
#define PARAM_ROWS        "config/params/suite.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};
ROWS(limits) = {
#define PARAM_STRUCT_TYPE struct limits_params
#define PARAM_ROWS        "config/params/limits.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};
ROWS(breakers) = {
#define PARAM_STRUCT_TYPE struct breakers_params
#define PARAM_ROWS        "config/params/breakers.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};
ROWS(upstreams) = {
#define PARAM_STRUCT_TYPE struct upstreams_params
#define PARAM_ROWS        "config/params/upstreams.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};
ROWS(monitoring) = {
#define PARAM_STRUCT_TYPE struct monitoring_params
#define PARAM_ROWS        "config/params/monitoring.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};
ROWS(autoscaling) = {
#define PARAM_STRUCT_TYPE struct autoscaling_params
#define PARAM_ROWS        "config/params/autoscaling.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};

GROUP(suite, "The suite");
GROUP(limits, "Rate limits");
GROUP(breakers, "Circuit breakers");
GROUP(upstreams, "Upstreams");
GROUP(monitoring, "Monitoring");
GROUP(autoscaling, "Autoscaling");
