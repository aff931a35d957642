// The step that answers other proxies' questions about requests of theirs. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_CHECK_H
#define VALVECHAIN_API_FRONT_CHECK_H

#include "request.h"

// STEP_NEXT: the request is no check.
enum step check_answer(struct request *request);
// limits.c: limits_apply with another cost (0 looks without charging) and status of a refusal.
enum step limits_ask(struct request *request, uint32_t cost, unsigned denied_status);

#endif
