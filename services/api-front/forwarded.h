// Who the real client is behind trusted proxies: X-Forwarded-For and Forwarded (RFC 7239) read from
// the right, the side our own proxies write. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_FORWARDED_H
#define VALVECHAIN_API_FRONT_FORWARDED_H

#include <stdbool.h>

#include "base/address.h"

// `values`: the field's lines joined by commas, in the order of arrival. Starts at `peer`, who must
// be trusted; goes left while the one who speaks is trusted; the first who is not is the client.
// False: the walk met an element that is no address (unknown, _hidden, garbage) and ended at the
// last known one, a proxy of ours: good enough to count by, but it must not open any door.
bool forwarded_client_xff(const struct address *peer, const char *values,
                          const struct cidr_list *trusted, struct address *ret_client);
bool forwarded_client_rfc7239(const struct address *peer, const char *values,
                              const struct cidr_list *trusted, struct address *ret_client);

enum forwarded_both {
    FORWARDED_BOTH_KNOWN,     // one client
    FORWARDED_BOTH_UNCERTAIN, // one, but an element was no address (see above)
    FORWARDED_BOTH_DIFFER,    // *ret_client is the peer
};
// Both fields came with one request, and nobody said which of them our proxies write: the client
// may have written the other. They agree when they name one address; one whose list ends at a proxy
// of ours (written by the last proxies of a chain only) says nothing against the other.
enum forwarded_both forwarded_client_both(const struct address *peer, const char *xff,
                                          const char *rfc7239, const struct cidr_list *trusted,
                                          struct address *ret_client);

#endif
