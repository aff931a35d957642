// The mock fallback's body: a template filled in, for declared reads only. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_MOCK_H
#define VALVECHAIN_API_FRONT_MOCK_H

#include <stdbool.h>

#include "base/strbuf.h"
#include "config/model.h"

struct mock_facts {
    const char *request_id;
    const char *path;
    size_t path_len;
    unsigned method_bit;
    const char *body; // complete, or NULL
    size_t body_len;
};

// GET and HEAD as far as the fallback declares them; POST when every call of its JSON-RPC
// body (one object or a batch) names a declared read and asks for an answer. Nothing else ever is
// mocked: a write must not seem done.
// 0: `out` has the body, ${request_id} and ${path} replaced as JSON-escaped text without quotes,
// ${rpc_id} as the caller's id in JSON (null without one). -EPERM: not a declared read.
int mock_render(const struct config_fallback *fallback, const struct mock_facts *facts,
                struct strbuf *out);

#endif
