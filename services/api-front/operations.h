// GET OPERATIONS_ENDPOINT/{id}: how an operation stands that the fallback `queue` accepted. Whoever
// accepted one with credentials must show the same ones; the id cannot be guessed in any case.
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_OPERATIONS_H
#define VALVECHAIN_API_FRONT_OPERATIONS_H

#include "request.h"

struct operations_ask; // a question under way

// STEP_NEXT: not this path.
enum step operations_answer(struct request *request);
void operations_cancel(struct operations_ask *ask); // the request goes

#endif
