// The step that answers other proxies' questions about requests of theirs. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_CHECK_H
#define VALVECHAIN_API_FRONT_CHECK_H

#include "request.h"

// STEP_NEXT: the request is no check.
enum step check_answer(struct request *request);

#endif
