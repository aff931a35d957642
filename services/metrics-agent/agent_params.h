// metrics-agent's own parameters (params.def).
#ifndef VALVECHAIN_METRICS_AGENT_PARAMS_H
#define VALVECHAIN_METRICS_AGENT_PARAMS_H

#include "config/params.h"
#include "net/bus.h"         // BUS_KEY_FORM
#include "net/http_server.h" // HTTP_ADDRESS_FORM

struct agent_params {
#define PARAM_ROWS "params.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};

extern const struct param_group agent_param_group;

#endif
