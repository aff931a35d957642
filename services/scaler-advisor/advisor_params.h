// scaler-advisor's own parameters (params.def).
#ifndef VALVECHAIN_SCALER_ADVISOR_PARAMS_H
#define VALVECHAIN_SCALER_ADVISOR_PARAMS_H

#include "config/params.h"
#include "net/bus.h" // BUS_KEY_FORM

struct advisor_params {
#define PARAM_ROWS "params.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};

extern const struct param_group advisor_param_group;

#endif
