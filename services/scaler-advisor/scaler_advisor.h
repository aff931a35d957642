// scaler-advisor: listens to the metrics-agent, decides once a second, writes its advice with the
// whole chain of reasons into the segment and onto the bus.
#ifndef VALVECHAIN_SCALER_ADVISOR_H
#define VALVECHAIN_SCALER_ADVISOR_H

#include "service/service.h"

extern const struct service_descriptor scaler_advisor_descriptor;

#endif
