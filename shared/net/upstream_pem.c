#include "net/upstream_pem.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>

static int refuse(struct problems *problems, const char *upstream, const char *field,
                  const char *path, int r)
{
    problems_add(problems, "upstream '%.23s': %s: '%s': %s; a readable PEM file is needed",
                 upstream, field, path, gnutls_strerror(r));
    return -EINVAL;
}

static int check_authorities(const char *upstream, const char *field, const char *path,
                             struct problems *problems)
{
    gnutls_x509_trust_list_t list;
    if (path == NULL)
        return 0;
    if (gnutls_x509_trust_list_init(&list, 0) < 0)
        return -ENOMEM;
    int n = gnutls_x509_trust_list_add_trust_file(list, path, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    gnutls_x509_trust_list_deinit(list, 1);
    if (n > 0)
        return 0;
    problems_add(problems,
                 "upstream '%.23s': %s: '%s': %s; a readable PEM file with a certificate is needed",
                 upstream, field, path, n < 0 ? gnutls_strerror(n) : "no certificate in it");
    return -EINVAL;
}

static int check_key(const struct config_upstream *upstream, const gnutls_datum_t *certificate,
                     const gnutls_datum_t *key, struct problems *problems)
{
    const struct config_tls *tls = &upstream->tls;
    gnutls_certificate_credentials_t pair;
    if (gnutls_certificate_allocate_credentials(&pair) < 0)
        return -ENOMEM;
    int r = gnutls_certificate_set_x509_key_mem(pair, certificate, key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(pair);
    if (r == GNUTLS_E_CERTIFICATE_KEY_MISMATCH) {
        problems_add(
            problems,
            "upstream '%.23s': tls.certificate: '%s' does not belong to the key in tls.key",
            upstream->name, tls->certificate);
        return -EINVAL;
    }
    return r < 0 ? refuse(problems, upstream->name, "tls.key", tls->key, r) : 0;
}

static int check_pair(const struct config_upstream *upstream, struct problems *problems)
{
    const struct config_tls *tls = &upstream->tls;
    gnutls_datum_t certificate = {0}, key = {0};
    gnutls_x509_crt_t *list;
    unsigned n = 0;
    if (tls->certificate == NULL || tls->key == NULL)
        return 0;
    int r = gnutls_load_file(tls->certificate, &certificate);
    if (r == 0)
        r = gnutls_x509_crt_list_import2(&list, &n, &certificate, GNUTLS_X509_FMT_PEM, 0);
    for (unsigned i = 0; r >= 0 && i < n; i++)
        gnutls_x509_crt_deinit(list[i]);
    if (r >= 0)
        gnutls_free(list);
    if (r < 0) {
        gnutls_free(certificate.data);
        return refuse(problems, upstream->name, "tls.certificate", tls->certificate, r);
    }
    r = gnutls_load_file(tls->key, &key);
    r = r < 0 ? refuse(problems, upstream->name, "tls.key", tls->key, r)
              : check_key(upstream, &certificate, &key, problems);
    if (key.data != NULL)
        gnutls_memset(key.data, 0, key.size);
    gnutls_free(key.data);
    gnutls_free(certificate.data);
    return r;
}

int upstream_pem_check(const struct config_model *model, struct problems *problems)
{
    int result = 0;
    for (size_t i = 0; i < model->n_upstreams; i++) {
        const struct config_upstream *upstream = &model->upstreams[i];
        const int found[] = {
            check_authorities(upstream->name, "tls.ca_file", upstream->tls.ca_file, problems),
            check_authorities(upstream->name, "probe.ca_file", upstream->probe.ca_file, problems),
            check_pair(upstream, problems),
        };
        for (size_t k = 0; k < sizeof(found) / sizeof(found[0]); k++)
            result = result < 0 ? result : found[k];
    }
    return result;
}
