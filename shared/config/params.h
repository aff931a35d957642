// The parameter groups that more than one process reads. A service's own rows stand in its
// params.def.
#ifndef VALVECHAIN_CONFIG_PARAMS_H
#define VALVECHAIN_CONFIG_PARAMS_H

#include "config/param_rows.h"

struct suite_params {
#define PARAM_ROWS "config/params/suite.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};
struct limits_params {
#define PARAM_ROWS "config/params/limits.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};
struct breakers_params {
#define PARAM_ROWS "config/params/breakers.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};
struct upstreams_params {
#define PARAM_ROWS "config/params/upstreams.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};
struct monitoring_params {
#define PARAM_ROWS "config/params/monitoring.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};
struct autoscaling_params {
#define PARAM_ROWS "config/params/autoscaling.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};

extern const struct param_group suite_param_group;
extern const struct param_group limits_param_group;
extern const struct param_group breakers_param_group;
extern const struct param_group upstreams_param_group;
extern const struct param_group monitoring_param_group;
extern const struct param_group autoscaling_param_group;

enum environment { ENVIRONMENT_PRODUCTION, ENVIRONMENT_DEVELOPMENT, ENVIRONMENT_TEST };

#endif
