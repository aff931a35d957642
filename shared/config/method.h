// The methods that policies and routes tell apart. Thread: any.
#ifndef VALVECHAIN_CONFIG_METHOD_H
#define VALVECHAIN_CONFIG_METHOD_H

#include <stddef.h>

// The method's http_method_bit; HTTP_OTHER for a word that is none of ours. Case counts.
unsigned method_bit_of(const char *method, size_t len);

#endif
