// A record of plain data in the segment that one process writes and any may read: a sequence number
// (odd while written) before it, the record copied word by word. A writer that dies inside leaves
// it odd; its successor's next write repairs it. Thread: any.
#ifndef VALVECHAIN_BASE_SEQUENCE_H
#define VALVECHAIN_BASE_SEQUENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEQUENCE_TRIES 100

// `bytes` is a multiple of 8 and `words` holds as many.
void sequence_write(_Atomic uint64_t *sequence, _Atomic uint64_t *words, const void *record,
                    size_t bytes);
// False: never written, or not whole in SEQUENCE_TRIES tries. `ret_record` then is undefined.
bool sequence_read(const _Atomic uint64_t *sequence, const _Atomic uint64_t *words,
                   void *ret_record, size_t bytes);

#endif
