// Turns a group's .def file into its struct and its table. Use:
//
//   struct limits_params {
//   #define PARAM_ROWS "config/params/limits.def"
//   #include "config/param_struct.inc"
//   };
//
// param_struct.inc and param_table.inc include PARAM_ROWS with the row macros defined and undefine
// them again. The groups that several services share stand in config/params.h.
#ifndef VALVECHAIN_CONFIG_PARAM_ROWS_H
#define VALVECHAIN_CONFIG_PARAM_ROWS_H
#include "config/param.h"
#endif
