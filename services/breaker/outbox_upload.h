// Bodies that come in pieces: each grows in a file of its own beside the database until its
// operation is submitted; those that are abandoned or stand still are removed.
// Errors: -errno. Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_OUTBOX_UPLOAD_H
#define VALVECHAIN_BREAKER_OUTBOX_UPLOAD_H

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTBOX_UPLOADS_MAX     64 // under way at a time
#define OUTBOX_UPLOAD_NAME_MAX 64

struct outbox_body { // one that is complete or growing
    char name[OUTBOX_UPLOAD_NAME_MAX];
    char file[OUTBOX_UPLOAD_NAME_MAX + 8]; // in the folder
    int fd;
    uint64_t bytes, touched_ms;
    crypto_generichash_state hash; // of the bytes
    bool taken;                    // an operation is being made of it
};
struct outbox_uploads {
    char dir[1100];
    uint64_t max_bytes; // of one
    struct outbox_body *bodies[OUTBOX_UPLOADS_MAX];
};

// Takes PATH.d as folder (made at the first piece).
void outbox_uploads_init(struct outbox_uploads *uploads, const char *path, uint64_t max_bytes);
void outbox_uploads_fini(struct outbox_uploads *uploads);
// -EFBIG: too large; -ENOBUFS: too many at a time; -EPROTO: a piece is missing; -ENOSPC and others.
int outbox_uploads_add(struct outbox_uploads *uploads, const char *name, uint64_t offset,
                       const void *bytes, size_t len, uint64_t now_ms);
void outbox_uploads_abandon(struct outbox_uploads *uploads, const char *name);
// The body of that name, to be given back by keep or abandon; NULL: there is none.
struct outbox_body *outbox_uploads_take(struct outbox_uploads *uploads, const char *name);
void outbox_uploads_keep(struct outbox_uploads *uploads, struct outbox_body *body); // file stays
void outbox_uploads_expire(struct outbox_uploads *uploads, uint64_t now_ms);
// The bytes are on the disk, and the file's name is. Thread: any.
int outbox_body_sync(const struct outbox_uploads *uploads, const struct outbox_body *body);

#endif
