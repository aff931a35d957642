// Reads one JSON value into one struct by the rows of config_fields.def, collecting problems with
// their place. Private to shared/config. Thread: one.
#ifndef VALVECHAIN_CONFIG_READER_H
#define VALVECHAIN_CONFIG_READER_H

#include <jansson.h>

#include "config/fields.h"
#include "config/json_place.h"
#include "config/model.h"

struct reader {
    const char *file; // for problems
    const char *text;
    size_t len;
    struct problems *problems;
    struct config_model *model; // what is being read, for references
    bool failed;                // there is a problem
    bool no_memory;
};

// "FILE:LINE:COLUMN: PATH: ..."
void reader_complain(struct reader *reader, const struct json_path *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// "FILE:LINE:COLUMN", the caller's to free. NULL: no memory.
char *reader_place(struct reader *reader, const struct json_path *path);
// Fills `out` (zeroed) with what stands in `json`; what is missing gets its default. After a
// problem the rest is still read, and `out` is fit for config_object_fini() only.
void reader_object(struct reader *reader, const struct json_path *path, json_t *json,
                   enum config_object object, void *out);
// Fills `out` (zeroed) with the defaults alone. -ENOMEM.
int config_object_defaults(enum config_object object, void *out);
void config_object_fini(enum config_object object, void *out);
// Appends the endpoint of `url` to `upstream`. -EINVAL: *ret_why says what is allowed. -ENOMEM.
int config_upstream_add_url(struct config_upstream *upstream, const char *url,
                            const char **ret_why);
void config_upstream_drop_endpoints(struct config_upstream *upstream);
void config_drop_last_slash(char *path); // "/api/" is "/api"; NULL allowed
void config_lower(char *text);           // NULL allowed
void config_lower_host(char *host);      // and without the root's dot; NULL allowed
bool config_routes_overlap(const struct config_route *a, const struct config_route *b);

// What the rows cannot say, object by object (model_check.c); called when the object is read.
void reader_check_tier(struct reader *reader, const struct json_path *path, // model_check_limits.c
                       const struct config_tier *tier);
void reader_check_policy(struct reader *reader, const struct json_path *path, json_t *json,
                         struct config_policy *policy);
// "auth", "global", "region-asia", or the tier-NAME of a tier.
bool config_is_builtin_policy(const struct config_limits *limits, const char *name);
void reader_check_regions(struct reader *reader, const struct json_path *path,
                          const struct config_limits *limits);
void reader_check_outcomes(struct reader *reader, const struct json_path *path, // model_outcomes.c
                           struct config_outcomes *outcomes);
void reader_check_limits(struct reader *reader, const struct json_path *path,
                         const struct config_limits *limits);
void reader_check(struct reader *reader, const struct json_path *path, json_t *json,
                  enum config_object object, void *out);

#endif
