// Memory for decoding one message, all of it given back at once. A message that would need more
// than CHECK_ARENA_BYTES is not decoded: a few bytes of protobuf can ask for many. Thread: one.
#ifndef VALVECHAIN_LIMITER_CHECK_ARENA_H
#define VALVECHAIN_LIMITER_CHECK_ARENA_H

#include <protobuf-c/protobuf-c.h>

#define CHECK_ARENA_BYTES (1024 * 1024)

struct check_arena {
    ProtobufCAllocator allocator; // for protobuf_c_message_unpack; its free does nothing
    size_t used;
    _Alignas(16) unsigned char bytes[CHECK_ARENA_BYTES];
};

void check_arena_init(struct check_arena *arena);
static inline void check_arena_clear(struct check_arena *arena)
{
    arena->used = 0;
}

#endif
