// Where a value stands in a JSON text. jansson keeps no positions behind parsing, so the place is
// searched when a problem needs it: the text is walked along the path of the value.
// Thread: any.
#ifndef VALVECHAIN_CONFIG_JSON_PLACE_H
#define VALVECHAIN_CONFIG_JSON_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

// One step from the root (which has no parent); the steps live on the stack of who descends.
struct json_path {
    const struct json_path *parent;
    const char *key; // member of an object; NULL: element `index` of an array
    size_t index;
    bool at_key; // the place of the key, not of the value; only in the last step
};

// `text` must be JSON that jansson accepted. Line and column count from 1; the column counts
// characters, not bytes. A path that does not exist gives the end of its deepest existing part.
void json_place(const char *text, size_t len, const struct json_path *path, size_t *ret_line,
                size_t *ret_column);
// "routes[0].upstream"; nothing for the root; keys that are no plain words as ["a key"].
void json_path_text(const struct json_path *path, struct strbuf *out);

#endif
