// One probe by a GET, over TLS with the certificate verified or without, on a connection of its
// own. Redirects are answers, not followed. Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_PROBE_HTTP_H
#define VALVECHAIN_BREAKER_PROBE_HTTP_H

#include "net/curl_loop.h"
#include "probe_talk.h"

struct probe_http;
struct probe_http_ask {
    bool tls;
    const char *path;
    const char *host_header, *ca_file; // may be NULL, as the next
    const char *certificate, *key;     // of ours, both or none
    const char *server_name;           // TLS: asked for and looked for in the certificate
    unsigned status_min, status_max;
    uint64_t timeout_ms;
};

// As probe_talk_start(). 0 or -ENOMEM.
int probe_http_start(struct curl_loop *loop, const struct probe_place *place,
                     const struct probe_http_ask *ask, probe_talk_fn *on_end, void *arg,
                     struct probe_http **ret_http);
// Gives it up without a word. NULL allowed.
void probe_http_cancel(struct probe_http **http);

#endif
