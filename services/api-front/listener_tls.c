#include "listener_tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// A handshake is over long before this.
#define RETIRED_KEPT_MS 120000

static struct listener_tls *in_use;

void tls_pair_destroy(struct tls_pair **pair_p)
{
    struct tls_pair *pair = *pair_p;
    *pair_p = NULL;
    if (pair == NULL) {
        return;
    }
    for (unsigned i = 0; i < pair->n_chain; i++) {
        gnutls_pcert_deinit(&pair->chain[i]);
    }
    if (pair->key != NULL) {
        gnutls_privkey_deinit(pair->key);
    }
    free(pair);
}

struct tls_files listener_tls_files(const struct front_params *params)
{
    return (struct tls_files){.cert = params->tls_cert,
                              .key = params->tls_key,
                              .cert_name = "TLS_CERT",
                              .key_name = "TLS_KEY"};
}

static int refuse(struct problems *problems, const char *parameter, const char *path, int r)
{
    problems_add(problems, "%s: '%s': %s; a readable PEM file is needed", parameter, path,
                 gnutls_strerror(r));
    return -EINVAL;
}

static int load_key(struct tls_pair *pair, const struct tls_files *files, struct problems *problems)
{
    gnutls_datum_t text;
    int r = gnutls_load_file(files->key, &text);
    if (r < 0) {
        return refuse(problems, files->key_name, files->key, r);
    }
    r = gnutls_privkey_init(&pair->key);
    if (r == 0) {
        r = gnutls_privkey_import_x509_raw(pair->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    }
    gnutls_memset(text.data, 0, text.size);
    gnutls_free(text.data);
    return r < 0 ? refuse(problems, files->key_name, files->key, r) : 0;
}

static int load_chain(struct tls_pair *pair, const struct tls_files *files,
                      struct problems *problems)
{
    gnutls_datum_t text;
    int r = gnutls_load_file(files->cert, &text);
    if (r < 0) {
        return refuse(problems, files->cert_name, files->cert, r);
    }
    unsigned n = LISTENER_TLS_CHAIN_MAX;
    r = gnutls_pcert_list_import_x509_raw(pair->chain, &n, &text, GNUTLS_X509_FMT_PEM, 0);
    gnutls_free(text.data);
    if (r < 0) {
        return refuse(problems, files->cert_name, files->cert, r);
    }
    pair->n_chain = n;
    return 0;
}

static int check_match(const struct tls_pair *pair, const struct tls_files *files,
                       struct problems *problems)
{
    gnutls_pubkey_t of_key;
    unsigned char a[64];
    unsigned char b[64];
    size_t a_len = sizeof(a);
    size_t b_len = sizeof(b);
    int r = gnutls_pubkey_init(&of_key);
    if (r < 0) {
        return refuse(problems, files->cert_name, files->cert, r);
    }
    r = gnutls_pubkey_import_privkey(of_key, pair->key, 0, 0);
    if (r == 0) {
        r = gnutls_pubkey_get_key_id(of_key, 0, a, &a_len);
    }
    if (r == 0) {
        r = gnutls_pubkey_get_key_id(pair->chain[0].pubkey, 0, b, &b_len);
    }
    gnutls_pubkey_deinit(of_key);
    if (r < 0) {
        return refuse(problems, files->cert_name, files->cert, r);
    }
    if (a_len != b_len || memcmp(a, b, a_len) != 0) {
        problems_add(problems, "%s: '%s' does not belong to the key in %s", files->cert_name,
                     files->cert, files->key_name);
        return -EINVAL;
    }
    return 0;
}

int tls_pair_load(const struct tls_files *files, struct problems *problems,
                  struct tls_pair **ret_pair)
{
    struct tls_pair *pair = calloc(1, sizeof(*pair));
    if (pair == NULL) {
        return -ENOMEM;
    }
    int r = load_chain(pair, files, problems);
    int key = load_key(pair, files, problems);
    r = r < 0 ? r : key;
    r = r < 0 ? r : check_match(pair, files, problems);
    if (r < 0) {
        tls_pair_destroy(&pair);
        return r;
    }
    *ret_pair = pair;
    return 0;
}

int listener_tls_create(const struct tls_files *files, struct problems *problems,
                        struct listener_tls **ret_tls)
{
    struct listener_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL) {
        return -ENOMEM;
    }
    int r = tls_pair_load(files, problems, &tls->current);
    if (r < 0) {
        free(tls);
        return r;
    }
    *ret_tls = tls;
    return 0;
}

void listener_tls_replace(struct listener_tls *tls, struct tls_pair *pair, uint64_t now_ms)
{
    pair->older = tls->current;
    tls->current->retired_ms = now_ms;
    tls->current = pair;
    for (struct tls_pair **link = &pair->older; *link != NULL;) {
        struct tls_pair *old = *link;
        if (now_ms - old->retired_ms < RETIRED_KEPT_MS) {
            link = &old->older;
            continue;
        }
        *link = old->older;
        tls_pair_destroy(&old);
    }
}

void listener_tls_destroy(struct listener_tls **tls)
{
    if (*tls == NULL) {
        return;
    }
    if (in_use == *tls) {
        in_use = NULL;
    }
    while ((*tls)->current != NULL) {
        struct tls_pair *pair = (*tls)->current;
        (*tls)->current = pair->older;
        tls_pair_destroy(&pair);
    }
    free(*tls);
    *tls = NULL;
}

void listener_tls_use(struct listener_tls *tls)
{
    in_use = tls;
}

int listener_tls_retrieve(gnutls_session_t session, const gnutls_datum_t *names, int n_names,
                          const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                          gnutls_pcert_st **ret_chain, unsigned *ret_n, gnutls_privkey_t *ret_key)
{
    (void)session;
    (void)names;
    (void)n_names;
    (void)algorithms;
    (void)n_algorithms;
    if (in_use == NULL) {
        return -1;
    }
    *ret_chain = in_use->current->chain;
    *ret_n = in_use->current->n_chain;
    *ret_key = in_use->current->key;
    return 0;
}

ssize_t listener_tls_send(struct MHD_Connection *connection, const void *bytes, size_t len)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info == NULL || info->tls_session == NULL) {
        return -ENOTCONN;
    }
    size_t sent = 0;
    while (sent < len) {
        ssize_t n = gnutls_record_send(info->tls_session, (const char *)bytes + sent, len - sent);
        if (n < 0) {
            return sent > 0 ? (ssize_t)sent : -EIO;
        }
        sent += (size_t)n;
    }
    return (ssize_t)sent;
}
