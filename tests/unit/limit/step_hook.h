// Forced into every source of the interleaving test (CMakeLists.txt): each atomic operation first
// gives the scheduler a chance to let another process run.
#ifndef TESTS_UNIT_LIMIT_STEP_HOOK_H
#define TESTS_UNIT_LIMIT_STEP_HOOK_H

#include <stdatomic.h>

void interleave_step(const volatile void *object);

#undef atomic_load
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#define atomic_load(object)                                                                        \
    (interleave_step(object), atomic_load_explicit(object, memory_order_seq_cst))
#define atomic_compare_exchange_strong(object, expected, desired)                                  \
    (interleave_step(object),                                                                      \
     atomic_compare_exchange_strong_explicit(object, expected, desired, memory_order_seq_cst,      \
                                             memory_order_seq_cst))
#define atomic_compare_exchange_weak(object, expected, desired)                                    \
    atomic_compare_exchange_strong(object, expected, desired)

#endif
