// limiter: owner of the limit policies and of the limit table's housekeeping. It compiles the
// policies from parameters and configuration, publishes them in place of whatever a gateway
// published before, and sweeps dead cells at a bounded pace. Gateways decide without it.
#ifndef VALVECHAIN_LIMITER_H
#define VALVECHAIN_LIMITER_H

#include "service/service.h"

struct limiter_params {
#define PARAM_ROWS "params.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};

extern const struct service_descriptor limiter_descriptor;

#endif
