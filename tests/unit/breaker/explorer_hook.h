// Forced into every source of the explorer (CMakeLists.txt): each atomic operation that another
// process can see or that sees another is a step before which the explorer may let others run, and
// what it read is noted, so that two paths to the same situation are known to be one.
// EXPLORER_READS_IN_ONE (rolling.c, publish.c): a run of plain loads is taken as one step.
#ifndef TESTS_UNIT_BREAKER_EXPLORER_HOOK_H
#define TESTS_UNIT_BREAKER_EXPLORER_HOOK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

// `object` NULL: what only the explorer knows of.
void explorer_step(const volatile void *object, bool writes);

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_thread_fence
#ifdef EXPLORER_READS_IN_ONE
#define EXPLORER_READ_STEP(object, order) (void)(order)
#else
#define EXPLORER_READ_STEP(object, order)                                                          \
    ((order) == memory_order_relaxed ? (void)0 : explorer_step(object, false))
#endif
#define atomic_load_explicit(object, order)                                                        \
    __extension__({                                                                                \
        EXPLORER_READ_STEP(object, order);                                                         \
        __atomic_load_n(object, __ATOMIC_SEQ_CST);                                                 \
    })
#define atomic_load(object) atomic_load_explicit(object, memory_order_seq_cst)
#define atomic_store_explicit(object, value, order)                                                \
    ((order) == memory_order_relaxed ? (void)0 : explorer_step(object, true),                      \
     __atomic_store_n(object, value, __ATOMIC_SEQ_CST))
#define atomic_store(object, value) atomic_store_explicit(object, value, memory_order_seq_cst)
#define atomic_exchange(object, value)                                                             \
    __extension__({                                                                                \
        explorer_step(object, true);                                                               \
        __atomic_exchange_n(object, value, __ATOMIC_SEQ_CST);                                      \
    })
#define atomic_compare_exchange_strong(object, expected, desired)                                  \
    __extension__({                                                                                \
        explorer_step(object, true);                                                               \
        __atomic_compare_exchange_n(object, expected, desired, false, __ATOMIC_SEQ_CST,            \
                                    __ATOMIC_SEQ_CST);                                             \
    })
#define atomic_compare_exchange_weak(object, expected, desired)                                    \
    atomic_compare_exchange_strong(object, expected, desired)
#define atomic_thread_fence(order) (void)(order)

#endif
