// Which route takes a request: the longest path prefix on a segment boundary among those whose host
// fits; a route with a host wins over one without of the same length. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_ROUTE_MATCH_H
#define VALVECHAIN_API_FRONT_ROUTE_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "config/model.h"

struct route_match {
    const struct config_route *route; // NULL: none
    // Without a route: methods that routes of the same prefix would take; 0: 404, else 405.
    unsigned allowed_methods;
};

// "/api/db" and "/api/db/" both take /api/db and /api/db/x, never /api/dbx; "/" takes all.
bool route_path_matches(const char *prefix, const char *path, size_t path_len);
// `host`: lower case, without port, "" for none. Routes of the longest matching prefix alone decide
// whether the method is allowed: a shorter route never takes over a method the longer one refuses.
struct route_match route_find(const struct config_model *model, const char *host, const char *path,
                              size_t path_len, unsigned method_bit);
// "GET, HEAD, POST" for the Allow header; HTTP_OTHER has no name and is left out.
void route_allow_field(unsigned methods, struct strbuf *out);

#endif
