// Where the text of a parameter comes from (param.h lists the sources and who wins). Private to
// shared/config.
#ifndef VALVECHAIN_CONFIG_PARAM_SOURCE_H
#define VALVECHAIN_CONFIG_PARAM_SOURCE_H

#include "config/param.h"

struct param_text {
    char *text;      // the caller's; NULL: the default holds
    char label[512]; // "PORT (environment)", for problems
};

// -EINVAL: a source could not be read or two contradict each other, with a problem.
int param_source_find(const struct param_row *row, const struct param_sources *sources,
                      struct param_text *ret_text, struct problems *problems);

#endif
