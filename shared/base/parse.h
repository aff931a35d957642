// Strict text-to-value parsing: the whole text or nothing, no locale, no sign where none is meant.
// Errors: -EINVAL (not of the form), -ERANGE (outside min..max). Thread: any.
#ifndef VALVECHAIN_BASE_PARSE_H
#define VALVECHAIN_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
int parse_u64_n(const char *text, size_t len, uint64_t min, uint64_t max, uint64_t *ret_value);
// true/false, 1/0, yes/no, on/off in any case.
int parse_bool(const char *text, bool *ret_value);
// Walks a comma-separated list: skips blanks around items and empty items. Returns false at the
// end.
// `*cursor` starts at the list's text; `*ret_item` points into it, not NUL-terminated.
bool parse_list_next(const char **cursor, const char **ret_item, size_t *ret_len);

#endif
