// The advice as the JSON that actions hand over (docs/scaling-actions.md). Pure; thread: any.
#ifndef VALVECHAIN_SCALER_ADVISOR_ACTION_BODY_H
#define VALVECHAIN_SCALER_ADVISOR_ACTION_BODY_H

#include "advice/published.h"
#include "base/strbuf.h"

// One line without a line end. `suite` is VALVECHAIN_NAME. Memory failure: strbuf_ok().
void action_body_write(const struct advice *advice, const char *suite, uint64_t wall_s,
                       struct strbuf *out);

#endif
