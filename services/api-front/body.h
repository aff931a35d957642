// A bounded buffer between two ends of different speed: a ring of bytes. What does not fit waits at
// the sender (backpressure). Memory comes from a pool and is taken at the first byte.
// A kept front (body_keep) stays readable from the first byte ever put until the ring is full, so
// that a small body can be sent a second time.
// Pure but for the memory. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_BODY_H
#define VALVECHAIN_API_FRONT_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct body_buffer;
struct body_pool { // buffers of one size that no body holds
    size_t buffer_bytes;
    struct body_buffer *free;
    size_t n_free;
};
void body_pool_init(struct body_pool *pool, size_t buffer_bytes);
void body_pool_fini(struct body_pool *pool);

struct body {
    struct body_pool *pool;
    struct body_buffer *buffer; // NULL until the first byte
    size_t start;               // of the oldest byte
    size_t len;                 // bytes in the ring
    size_t taken;               // of these, kept bytes that were already taken (body_keep)
    bool keep;
    bool ended; // no byte follows
};

void body_init(struct body *body, struct body_pool *pool);
void body_fini(struct body *body);
// From now on taken bytes stay until room is needed; body_rewind() makes them new again.
void body_keep(struct body *body);
// False when some of the taken bytes are gone.
bool body_rewind(struct body *body);
void body_forget(struct body *body); // drops what was kept, and keeps no more

size_t body_room(const struct body *body);   // bytes that body_put would take now
size_t body_unread(const struct body *body); // bytes that can be taken
// Copies as much as fits and returns how much; 0 also when there is no memory.
size_t body_put(struct body *body, const void *bytes, size_t len);
// The unread bytes as at most two pieces; returns the number of pieces.
int body_peek(const struct body *body, struct iovec pieces[2]);
// Moves over `len` unread bytes, at most body_unread().
void body_take(struct body *body, size_t len);
// Copies up to `cap` unread bytes out and takes them.
size_t body_read(struct body *body, void *to, size_t cap);

#endif
