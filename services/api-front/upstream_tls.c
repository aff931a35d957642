#include "upstream_tls.h"

#include <errno.h>
#include <stdio.h>

#include "listener_tls.h"

#define NAME_BYTES 64

static int check_authorities(const char *name, const char *path, struct problems *problems)
{
    gnutls_x509_trust_list_t list;
    if (gnutls_x509_trust_list_init(&list, 0) < 0) {
        return -ENOMEM;
    }
    int n = gnutls_x509_trust_list_add_trust_file(list, path, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    gnutls_x509_trust_list_deinit(list, 1);
    if (n > 0) {
        return 0;
    }
    problems_add(problems, "%s: '%s': %s; a readable PEM file with a certificate is needed", name,
                 path, n < 0 ? gnutls_strerror(n) : "no certificate in it");
    return -EINVAL;
}

static int check_one(const struct config_upstream *upstream, struct problems *problems)
{
    const struct config_tls *tls = &upstream->tls;
    char ca[NAME_BYTES], certificate[NAME_BYTES], key[NAME_BYTES];
    int r = 0;
    snprintf(ca, sizeof(ca), "upstream '%.23s': tls.ca_file", upstream->name);
    snprintf(certificate, sizeof(certificate), "upstream '%.23s': tls.certificate", upstream->name);
    snprintf(key, sizeof(key), "upstream '%.23s': tls.key", upstream->name);
    if (tls->ca_file != NULL) {
        r = check_authorities(ca, tls->ca_file, problems);
    }
    if (tls->certificate != NULL) {
        struct tls_pair *pair = NULL;
        const struct tls_files files = {
            .cert = tls->certificate, .key = tls->key, .cert_name = certificate, .key_name = key};
        int pair_r = tls_pair_load(&files, problems, &pair);
        tls_pair_destroy(&pair);
        r = r < 0 ? r : pair_r;
    }
    return r;
}

int upstream_tls_check(const struct config_model *model, struct problems *problems)
{
    int r = 0;
    for (size_t i = 0; i < model->n_upstreams; i++) {
        int one = check_one(&model->upstreams[i], problems);
        r = r < 0 ? r : one;
    }
    return r;
}
