// breaker: owns the breakers' definitions in the segment, gives back what dead processes held,
// publishes every change of state with its evidence, and the figures.
#ifndef VALVECHAIN_BREAKER_SERVICE_H
#define VALVECHAIN_BREAKER_SERVICE_H

#include "service/service.h"

extern const struct service_descriptor breaker_service_descriptor;

#endif
