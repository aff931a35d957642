// The command line of every process, as data.
#ifndef VALVECHAIN_SERVICE_SERVICE_ARGS_H
#define VALVECHAIN_SERVICE_SERVICE_ARGS_H

#include <stddef.h>

#include "base/problems.h"

enum service_mode {
    SERVICE_MODE_RUN,
    SERVICE_MODE_HELP,
    SERVICE_MODE_VERSION,
    SERVICE_MODE_CHECK,
    SERVICE_MODE_DESCRIBE
};
struct service_args {
    enum service_mode mode;
    const char **assignments; // of --set, NAME=VALUE (not checked here), pointing into argv
    size_t n_assignments;
};

// -EINVAL with one problem for each argument that is none of ours; --help among them still sets the
// mode. `ret_args` is filled in any case; service_args_fini() frees it.
int service_args_parse(int argc, char *const *argv, struct problems *problems,
                       struct service_args *ret_args);
void service_args_fini(struct service_args *args);

#endif
