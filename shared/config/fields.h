// The table behind config_fields.def: what each object of the configuration file may have. Private
// to shared/config. Thread: any.
#ifndef VALVECHAIN_CONFIG_FIELDS_H
#define VALVECHAIN_CONFIG_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_object {
    OBJECT_model,
    OBJECT_limits,
    OBJECT_tier,
    OBJECT_region,
    OBJECT_policy,
    OBJECT_match,
    OBJECT_header,
    OBJECT_override,
    OBJECT_upstream,
    OBJECT_breaker,
    OBJECT_ejection,
    OBJECT_retry,
    OBJECT_tls,
    OBJECT_smtp,
    OBJECT_outcomes,
    OBJECT_probe,
    OBJECT_route,
    OBJECT_fallback,
    OBJECT_advice,
    OBJECT_scaling,
    OBJECT_rate,
    N_OBJECTS
};

enum field_type {
    FIELD_UINT,
    FIELD_BOOL,
    FIELD_STR,
    FIELD_ENUM,    // one of the choices: `min` + its index
    FIELD_FLAGS,   // a list of choices: bit i is choice i
    FIELD_STRS,    // a list of texts, NULL-terminated
    FIELD_URL,     // appended to the upstream's endpoints
    FIELD_URLS,    // a list of these
    FIELD_REF,     // the name of an upstream, stored as its index
    FIELD_OBJECT,  // an object inside the struct
    FIELD_OBJECTS, // a list of objects
    FIELD_MAP,     // "parameters"
    FIELD_NOTE,    // allowed for editors ("$schema"), means nothing here
};

struct config_form {
    bool (*is_valid)(const char *text);
    const char *pattern; // the same for the JSON Schema (ECMA 262), as near as it can be said
    const char *allowed; // in words
};

struct config_field {
    enum config_object object;
    const char *key;
    enum field_type type;
    size_t offset, size; // of the struct's field; the size only where numbers are stored
    size_t count_offset; // FIELD_OBJECTS: where their number goes
    size_t inline_max;   // FIELD_OBJECTS: room for so many in the struct itself; 0: allocated
    enum config_object child;
    size_t child_size;
    const char *default_text; // NULL: the zero of its type; "unset": UINT64_MAX
    uint64_t min, max;        // of a number; how many of a list; how long a text
    const char *unit;
    const char *choices; // "a|b|c"
    const struct config_form *form;
    bool required;
    const char *like; // the parameter whose range, unit and meaning it has, and whose value it
                      // takes when the file is silent (stored as 0; a 0 of the file as all ones)
    const char *help;
};

size_t config_n_fields(void);
struct config_field config_field_at(size_t i); // with what `like` lends
const char *config_object_title(enum config_object object);
// "1 to 65535 ms", "GET, HEAD", ...; in one sentence after "allowed".
struct strbuf;
void config_field_allowed(const struct config_field *field, struct strbuf *out);

#endif
