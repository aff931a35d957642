// Parameters: one row in a params.def each. From the row come the struct field, the parser, --help,
// --check, the start-up dump (secrets masked), docs/configuration.md, and the meta test that
// systemd, docker and k8s files name only what exists.
//
// A group is a .def file with rows
//   PARAM_UINT(NAME, field, default, min, max, "unit", flags, "help")
//   PARAM_BOOL(NAME, field, default, flags, "help")
//   PARAM_STR (NAME, field, "default", flags, "help")
//   PARAM_ENUM(NAME, field, "default", "choice|choice", flags, "help")    (field: int, index of
//   choice)
// and becomes a struct by PARAM_STRUCT and a table by PARAM_TABLE (see param_rows.h).
//
// Sources, the later wins: default, configuration file ("parameters": {NAME: value}), environment,
// --set NAME=VALUE. NAME_FILE and $CREDENTIALS_DIRECTORY/NAME give the content of a file (secrets).
// Ownership: param_group_fini() frees the strings. Thread: one.
#ifndef VALVECHAIN_CONFIG_PARAM_H
#define VALVECHAIN_CONFIG_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problems.h"
#include "base/strbuf.h"

#define PARAM_SECRET   0x1u // masked in dumps
#define PARAM_UNSET_OK 0x2u // default "unset": PARAM_UNSET, or NULL for strings
#define PARAM_RELOAD   0x4u // SIGHUP takes a new value over; all others need a restart
#define PARAM_PLANNED                                                                              \
    0x8u // not built yet: any value but the default is refused with a clear message
#define PARAM_UNSET UINT64_MAX

enum param_type { PARAM_TYPE_UINT, PARAM_TYPE_BOOL, PARAM_TYPE_STR, PARAM_TYPE_ENUM };

struct param_row {
    const char *name;
    enum param_type type;
    size_t offset; // of the field in the group's struct
    const char *default_text;
    uint64_t min, max;
    const char *unit;
    const char *choices; // "a|b|c"
    unsigned flags;
    const char *help;
};

struct param_group {
    const char *name;  // "limits"
    const char *title; // "Rate limits"
    const struct param_row *rows;
    size_t n_rows;
    size_t struct_bytes;
};

// Where values come from besides the environment.
struct param_sources {
    const char *const *assignments; // --set NAME=VALUE texts
    size_t n_assignments;
    const char *(*config_value)(void *arg, const char *name); // configuration file; may be NULL
    void *config_arg;
};

// Fills the group's struct. Adds one problem per bad value and returns -EINVAL if there was any.
int param_group_load(const struct param_group *group, const struct param_sources *sources,
                     void *ret_struct, struct problems *problems);
void param_group_fini(const struct param_group *group, void *params);
// NAME=value lines; secrets as "********".
void param_group_dump(const struct param_group *group, const void *params, struct strbuf *out);
void param_group_help(const struct param_group *group, struct strbuf *out);     // for --help
void param_group_markdown(const struct param_group *group, struct strbuf *out); // for docs/
const char *param_enum_text(const struct param_row *row, int value, char *buffer, size_t cap);

#endif
