// The files that https upstreams name, looked at before anything uses them: libcurl would find out
// with the first call. Thread: any.
#ifndef VALVECHAIN_API_FRONT_UPSTREAM_TLS_H
#define VALVECHAIN_API_FRONT_UPSTREAM_TLS_H

#include "base/problems.h"
#include "config/model.h"

// -EINVAL with problems: a file cannot be read, holds no certificate or key, or the two do not
// belong together.
int upstream_tls_check(const struct config_model *model, struct problems *problems);

#endif
