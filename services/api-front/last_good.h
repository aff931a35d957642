// The fallback `cache`: the last good answer to the same question, kept as it passes by, given when
// the upstream cannot answer. What may be kept and given says cache_rules.h; where it is kept,
// answer_store.h.
//
// The same question: route (with its upstream and what it makes of the path), scheme, Host, path,
// query, and what Vary names; of a JSON-RPC call its method and parameters. Each process has its
// own store, which begins empty. A reload keeps it: answers of a route that became another one are
// not found any more. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_LAST_GOOD_H
#define VALVECHAIN_API_FRONT_LAST_GOOD_H

#include "request.h"
#include "upstream_answer.h"

// Does the chain of this request have a `cache` that its answer could be for (or a write make
// worthless)?
bool last_good_looks_at(const struct request *request);
// The answer's head is here: drops what it makes worthless, and tells whether it is to be gathered.
bool last_good_begins(struct request *request, const struct upstream_answer *answer);
// All of it is here; takes over `body` (of malloc, NULL when it is empty).
void last_good_keep(struct request *request, const struct upstream_answer *answer, char *body,
                    size_t len);
// Answers with what is kept. False: there is nothing that may be given.
bool last_good_answer(struct request *request, const struct config_fallback *fallback);
void last_good_end(struct request *request);  // the request goes
void last_good_report(struct valves *valves); // figures of the store, for the tick

#endif
