// The certificate that clients see. Its files are read at start and on SIGHUP; handshakes under way
// finish with the certificate they began with.
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_LISTENER_TLS_H
#define VALVECHAIN_API_FRONT_LISTENER_TLS_H

#include <gnutls/abstract.h>
#include <microhttpd.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/problems.h"
#include "front_params.h"

#define LISTENER_TLS_CHAIN_MAX 8

struct tls_pair { // a certificate chain and its key
    gnutls_pcert_st chain[LISTENER_TLS_CHAIN_MAX];
    unsigned n_chain;
    gnutls_privkey_t key;
    struct tls_pair *older; // retired ones, for handshakes that still use them
    uint64_t retired_ms;
};
struct listener_tls {
    struct tls_pair *current;
};

struct tls_files {
    const char *cert, *key;           // paths
    const char *cert_name, *key_name; // what sets them, for problems
};
struct tls_files listener_tls_files(const struct front_params *params);
// -EINVAL with a problem that names the file and the reason.
int tls_pair_load(const struct tls_files *files, struct problems *problems,
                  struct tls_pair **ret_pair);
void tls_pair_destroy(struct tls_pair **pair);
// The same errors.
int listener_tls_create(const struct tls_files *files, struct problems *problems,
                        struct listener_tls **ret_tls);
// Takes the pair over; new handshakes see it.
void listener_tls_replace(struct listener_tls *tls, struct tls_pair *pair, uint64_t now_ms);
void listener_tls_destroy(struct listener_tls **tls);
// For MHD_OPTION_HTTPS_CERT_CALLBACK; its session pointer does not carry ours, so the process has
// one current pair, set by this.
void listener_tls_use(struct listener_tls *tls);
int listener_tls_retrieve(gnutls_session_t session, const gnutls_datum_t *names, int n_names,
                          const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                          gnutls_pcert_st **ret_chain, unsigned *ret_n, gnutls_privkey_t *ret_key);
// Writes past libmicrohttpd on a connection of its. -errno.
ssize_t listener_tls_send(struct MHD_Connection *connection, const void *bytes, size_t len);

#endif
