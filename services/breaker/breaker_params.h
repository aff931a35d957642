// The breaker process's own parameters (params.def).
#ifndef VALVECHAIN_BREAKER_PARAMS_H
#define VALVECHAIN_BREAKER_PARAMS_H

#include "config/params.h"

struct breaker_params {
#define PARAM_ROWS "params.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};

extern const struct param_group breaker_param_group;

#endif
