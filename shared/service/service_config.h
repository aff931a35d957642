// Parameters and configuration file of one process, loaded as a whole or not at all.
#ifndef VALVECHAIN_SERVICE_SERVICE_CONFIG_H
#define VALVECHAIN_SERVICE_SERVICE_CONFIG_H

#include "base/log.h"
#include "service/service.h"
#include "service/service_args.h"

struct service_config {
    struct suite_params suite;
    void **params; // one struct per group of the descriptor, same order
    struct config_model *model;
};

size_t service_group_count(const struct service_descriptor *descriptor);
// Reads everything and checks it. -EINVAL with every problem; nothing to free then.
int service_config_load(const struct service_descriptor *descriptor,
                        const struct service_args *args, struct problems *problems,
                        struct service_config *ret_config);
void service_config_fini(const struct service_descriptor *descriptor,
                         struct service_config *config);
// NAME=value lines, secrets masked.
void service_config_dump(const struct service_descriptor *descriptor,
                         const struct service_config *config, struct strbuf *out);
enum log_level service_log_level(const struct suite_params *suite);

// Every row that only a restart changes keeps its value in `fresh` (the strings change places); the
// names of those that would have changed are appended. Called again with the two in each other's
// place, it undoes itself.
void service_config_keep_fixed(const struct service_descriptor *descriptor,
                               struct service_config *running, struct service_config *fresh,
                               struct strbuf *ret_names);

#endif
