// A group with a row of every kind, for the tests of this folder.
#ifndef VALVECHAIN_TESTS_CONFIG_EXAMPLE_H
#define VALVECHAIN_TESTS_CONFIG_EXAMPLE_H

#include "config/param_rows.h"

struct example_params {
#define PARAM_ROWS "example.def"
#include "config/param_struct.inc"
#undef PARAM_ROWS
};

static const struct param_row example_rows[] = {
#define PARAM_STRUCT_TYPE struct example_params
#define PARAM_ROWS        "example.def"
#include "config/param_table.inc"
#undef PARAM_STRUCT_TYPE
#undef PARAM_ROWS
};
static const struct param_group example_group = {
    .name = "example",
    .title = "Example",
    .rows = example_rows,
    .n_rows = sizeof(example_rows) / sizeof(example_rows[0]),
    .struct_bytes = sizeof(struct example_params),
};

#endif
