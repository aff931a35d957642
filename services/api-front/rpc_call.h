// JSON-RPC in the bodies of requests and answers: one object or a batch (JSON-RPC 2.0, sections 4
// to 6; 1.0 servers add "error": null). Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_RPC_CALL_H
#define VALVECHAIN_API_FRONT_RPC_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "config/rpc_id.h"
#include "config/rpc_json.h"

#define RPC_SERVER_ERROR (-32000) // the first of those left to servers (2.0, section 5.1)

bool rpc_is_listed(char *const *methods, const char *method); // NULL-terminated, or NULL; NULL
// Is it a call of one of these methods that waits for an answer (it has an id)?
bool rpc_is_call_of(const json_t *call, char *const *methods);
// The call's parameters, always written the same way, whatever their order; free(). NULL: no
// memory.
char *rpc_params_text(const json_t *call);
// The member with this id; NULL: none, or more than one.
const json_t *rpc_answer_to(const json_t *answers, const json_t *id);
// It has a result and no error.
bool rpc_is_good(const json_t *answer);
// Without the id and the braces' first: what rpc_with_id() makes whole. free(); NULL: no memory.
char *rpc_without_id(const json_t *answer);
// The id of `call`, as its caller wrote it, `raw`.
void rpc_write_id(const json_t *call, const struct rpc_id *raw, struct strbuf *out);
void rpc_with_id(const json_t *call, const struct rpc_id *raw, const char *rest,
                 struct strbuf *out);

// An error for every call that waits for an answer. -EPERM: the body is no JSON-RPC, or nobody
// waits. `data`: JSON.
int rpc_error_body(const char *body, size_t len, int code, const char *message, const char *data,
                   struct strbuf *out);

#endif
