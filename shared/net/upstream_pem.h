// The PEM files that the upstreams of a configuration name, read as libcurl will. Thread: any.
#ifndef VALVECHAIN_NET_UPSTREAM_PEM_H
#define VALVECHAIN_NET_UPSTREAM_PEM_H

#include "base/problems.h"
#include "config/model.h"

// tls.ca_file, tls.certificate with tls.key, probe.ca_file. 0; -EINVAL with problems that name
// field, file and reason; -ENOMEM.
int upstream_pem_check(const struct config_model *model, struct problems *problems);

#endif
