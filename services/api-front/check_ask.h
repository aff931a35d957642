// What a proxy asks at CHECK_ENDPOINT: which request it means, and how it wants to be answered.
//
//   GET CHECK_ENDPOINT              with X-Original-URI (and X-Original-Method): nginx auth_request
//   GET CHECK_ENDPOINT              with X-Forwarded-Uri (and X-Forwarded-Method): Traefik, HAProxy
//   ANY CHECK_ENDPOINT/original?x=y path and method are the original's: Envoy ext_authz
//
// Exactly one of these: proxies pass their clients' headers on, so where two descriptions meet, one
// may be the client's own, and it is refused. For the same reason the method counts only from the
// header of the same family, and options stand in the query, which the proxy's configuration writes
// (in Envoy's form the query is the client's, and there are none). Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_CHECK_ASK_H
#define VALVECHAIN_API_FRONT_CHECK_ASK_H

#include "http_syntax.h"

#define CHECK_COST_MAX 1000000

struct check_ask {
    const char *target; // as the client sent it, not NUL-terminated; NULL: the path says it
    size_t target_len;
    unsigned method_bit;    // of the original; 0: the check's own
    uint32_t cost;          // 0: look without charging
    unsigned denied_status; // 429, or 401 or 403 for askers who know nothing else
};
struct check_problem {
    const char *code; // stable word
    char detail[240]; // what is wrong and what is allowed
};

// `below`: what follows the endpoint's path, "" for nothing. `query` is NUL-terminated.
// False with *ret_problem filled.
bool check_ask_read(const char *below, const char *query, const struct http_header *headers,
                    size_t n_headers, struct check_ask *ret_ask, struct check_problem *ret_problem);

#endif
