// Assertions for our own bugs: always on, never about input, peers, memory or the segment.
#ifndef VALVECHAIN_BASE_ASSERT_H
#define VALVECHAIN_BASE_ASSERT_H

_Noreturn void assert_failed(const char *expression, const char *file, int line);

#define ASSERT(expression) ((expression) ? (void)0 : assert_failed(#expression, __FILE__, __LINE__))

#endif
