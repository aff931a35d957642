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
// and becomes a struct and a table (see param_rows.h). PARAM_STR and PARAM_ENUM take more after the
// help: `.alias = "NAME"`, one of the forms below. The default of a PARAM_STR that may be unset is
// NULL.
//
// Sources, the later wins: default, configuration file ("parameters": {NAME: value}),
// $CREDENTIALS_DIRECTORY/NAME, environment (NAME, or NAME_FILE with the content of that file, not
// both), --set NAME=VALUE. An empty NAME in the environment is the default for all types but text.
// Ownership: param_group_fini() frees the strings. Thread: one.
#ifndef VALVECHAIN_CONFIG_PARAM_H
#define VALVECHAIN_CONFIG_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buckets.h"
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
    const char *alias; // another name of the same parameter, which wins; NULL: none
    bool (*is_valid)(const char *text); // PARAM_STR only; NULL: every text is
    const char *allowed;                // what is_valid() accepts, in words
};

#define PARAM_FORM_NAME .is_valid = param_is_name, .allowed = "1 to 23 letters, digits, '_' and '-'"
#define PARAM_FORM_URL_PATH                                                                        \
    .is_valid = param_is_url_path,                                                                 \
    .allowed = "a path that begins with '/', without '//', dot segments, '?', '#', '%' and blanks"
#define PARAM_FORM_DIR .is_valid = param_is_dir, .allowed = "an absolute path"
#define PARAM_FORM_ADDRESS                                                                         \
    .is_valid = param_is_address, .allowed = "an IPv4 or IPv6 address, without brackets and port"
bool param_is_name(const char *text);
bool param_is_url_path(const char *text);
bool param_is_dir(const char *text);
bool param_is_address(const char *text); // or empty

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
    // Where the file says so ("valvechain.json:3:9"), for problems; may be NULL.
    const char *(*config_place)(void *arg, const char *name);
    void *config_arg;
    bool file_only; // what the configuration file says, whatever stronger sources say
};

// Fills the group's struct. Adds one problem per bad value (a secret's value is never in it) and
// returns -EINVAL if there was any; *ret_struct is then untouched.
int param_group_load(const struct param_group *group, const struct param_sources *sources,
                     void *ret_struct, struct problems *problems);
void param_group_fini(const struct param_group *group, void *params);
// For a reload: where a parameter without PARAM_RELOAD differs, `fresh` gets the value of `running`
// back (the strings change places) and its name is appended to `ret_names` ("A, B").
void param_group_keep(const struct param_group *group, void *running, void *fresh,
                      struct strbuf *ret_names);
// The names in --set: each is NAME=VALUE with a name that some process of the suite knows.
void param_check_assignments(const struct param_sources *sources, struct problems *problems);
// Whether any process of the suite has this parameter (or alias); if not, *ret_nearest is what may
// have been meant, or NULL. The list of all names is made from all .def files at build time.
bool param_is_known(const char *name, const char **ret_nearest);
size_t param_all_names(const char *const **ret_names);

// NAME=value lines; secrets as "********".
void param_group_dump(const struct param_group *group, const void *params, struct strbuf *out);
void param_group_help(const struct param_group *group, struct strbuf *out);     // for --help
void param_group_markdown(const struct param_group *group, struct strbuf *out); // for docs/
// The value as one would write it in the environment; "unset" for an unset one; not masked.
void param_value_text(const struct param_row *row, const void *params, struct strbuf *out);
// What the row accepts, in words: "1 to 65535 ms", "true, false, ...", "enforce, shadow".
void param_allowed_text(const struct param_row *row, struct strbuf *out);
// The choice number `value`, copied into `buffer`, which is returned; "" when there is none.
const char *param_enum_text(const struct param_row *row, int value, char *buffer, size_t cap);

#endif
