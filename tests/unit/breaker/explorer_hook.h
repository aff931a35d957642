// Forced into every source of the explorer (CMakeLists.txt): each atomic operation that another
// process can see or that sees another is a step before which the explorer may let others run, and
// what it read is noted, so that two paths to the same situation are known to be one.
// EXPLORER_READS_IN_ONE (rolling.c, publish.c): a run of plain loads is taken as one step.
#ifndef TESTS_UNIT_BREAKER_EXPLORER_HOOK_H
#define TESTS_UNIT_BREAKER_EXPLORER_HOOK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

void explorer_step(void);
void explorer_saw(uint64_t value);

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_thread_fence
#ifdef EXPLORER_READS_IN_ONE
#define EXPLORER_READ_STEP(order) (void)(order)
#else
#define EXPLORER_READ_STEP(order) ((order) == memory_order_relaxed ? (void)0 : explorer_step())
#endif
#define atomic_load_explicit(object, order)                                                        \
    __extension__({                                                                                \
        EXPLORER_READ_STEP(order);                                                                 \
        __auto_type explorer_value_ = __atomic_load_n(object, __ATOMIC_SEQ_CST);                   \
        explorer_saw((uint64_t)explorer_value_);                                                   \
        explorer_value_;                                                                           \
    })
#define atomic_load(object) atomic_load_explicit(object, memory_order_seq_cst)
#define atomic_store_explicit(object, value, order)                                                \
    ((order) == memory_order_relaxed ? (void)0 : explorer_step(),                                  \
     __atomic_store_n(object, value, __ATOMIC_SEQ_CST))
#define atomic_store(object, value) atomic_store_explicit(object, value, memory_order_seq_cst)
#define atomic_exchange(object, value)                                                             \
    __extension__({                                                                                \
        explorer_step();                                                                           \
        __auto_type explorer_value_ = __atomic_exchange_n(object, value, __ATOMIC_SEQ_CST);        \
        explorer_saw((uint64_t)explorer_value_);                                                   \
        explorer_value_;                                                                           \
    })
#define atomic_compare_exchange_strong(object, expected, desired)                                  \
    __extension__({                                                                                \
        explorer_step();                                                                           \
        bool explorer_done_ = __atomic_compare_exchange_n(object, expected, desired, false,        \
                                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);     \
        explorer_saw(explorer_done_ ? 1 : (uint64_t) * (expected) ^ UINT64_C(0x5bd1e995));         \
        explorer_done_;                                                                            \
    })
#define atomic_compare_exchange_weak(object, expected, desired)                                    \
    atomic_compare_exchange_strong(object, expected, desired)
#define atomic_thread_fence(order) (void)(order)

#endif
