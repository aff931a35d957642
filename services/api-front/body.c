#include "body.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define FREE_BUFFERS_MAX 64 // kept after a burst

struct body_buffer {
    struct body_buffer *next;
    unsigned char bytes[];
};

void body_pool_init(struct body_pool *pool, size_t buffer_bytes)
{
    *pool = (struct body_pool){.buffer_bytes = buffer_bytes};
}

void body_pool_fini(struct body_pool *pool)
{
    while (pool->free != NULL) {
        struct body_buffer *buffer = pool->free;
        pool->free = buffer->next;
        free(buffer);
    }
    pool->n_free = 0;
}

static struct body_buffer *buffer_get(struct body_pool *pool)
{
    struct body_buffer *buffer = pool->free;
    if (buffer != NULL) {
        pool->free = buffer->next;
        pool->n_free--;
        return buffer;
    }
    return malloc(sizeof(*buffer) + pool->buffer_bytes);
}

void body_init(struct body *body, struct body_pool *pool)
{
    *body = (struct body){.pool = pool};
}

void body_fini(struct body *body)
{
    struct body_buffer *buffer = body->buffer;
    if (buffer != NULL) {
        if (body->pool->n_free < FREE_BUFFERS_MAX) {
            buffer->next = body->pool->free;
            body->pool->free = buffer;
            body->pool->n_free++;
        } else {
            free(buffer);
        }
    }
    body->buffer = NULL;
    body->start = body->len = body->taken = 0;
}

void body_keep(struct body *body)
{
    body->keep = true;
}

bool body_rewind(struct body *body)
{
    if (!body->keep) {
        return false;
    }
    body->taken = 0;
    return true;
}

void body_forget(struct body *body)
{
    size_t taken = body->taken;
    body->keep = false;
    body->taken = 0;
    if (taken > 0) {
        body_take(body, taken);
    }
}

size_t body_room(const struct body *body)
{
    // Kept bytes give way to new ones.
    return body->pool->buffer_bytes - (body->len - body->taken);
}

size_t body_unread(const struct body *body)
{
    return body->len - body->taken;
}

size_t body_put(struct body *body, const void *bytes, size_t len)
{
    size_t size = body->pool->buffer_bytes;
    if (body->taken > 0 && len > size - body->len) {
        body_forget(body);
    }
    if (len > size - body->len) {
        len = size - body->len;
    }
    if (len == 0) {
        return 0;
    }
    if (body->buffer == NULL) {
        body->buffer = buffer_get(body->pool);
        if (body->buffer == NULL) {
            return 0;
        }
    }
    size_t end = (body->start + body->len) % size;
    size_t first = len < size - end ? len : size - end;
    memcpy(body->buffer->bytes + end, bytes, first);
    memcpy(body->buffer->bytes, (const unsigned char *)bytes + first, len - first);
    body->len += len;
    return len;
}

int body_peek(const struct body *body, struct iovec pieces[2])
{
    size_t unread = body_unread(body);
    if (unread == 0) {
        return 0;
    }
    size_t size = body->pool->buffer_bytes;
    size_t at = (body->start + body->taken) % size;
    size_t first = unread < size - at ? unread : size - at;
    pieces[0] = (struct iovec){.iov_base = body->buffer->bytes + at, .iov_len = first};
    if (first == unread) {
        return 1;
    }
    pieces[1] = (struct iovec){.iov_base = body->buffer->bytes, .iov_len = unread - first};
    return 2;
}

void body_take(struct body *body, size_t len)
{
    ASSERT(len <= body_unread(body));
    if (body->keep) {
        body->taken += len;
        return;
    }
    body->start = (body->start + len) % body->pool->buffer_bytes;
    body->len -= len;
    if (body->len == 0) {
        body->start = 0; // the next bytes lie in one piece
    }
}

size_t body_read(struct body *body, void *to, size_t cap)
{
    struct iovec pieces[2];
    int n = body_peek(body, pieces);
    size_t copied = 0;
    for (int i = 0; i < n && copied < cap; i++) {
        size_t part = pieces[i].iov_len < cap - copied ? pieces[i].iov_len : cap - copied;
        memcpy((unsigned char *)to + copied, pieces[i].iov_base, part);
        copied += part;
    }
    body_take(body, copied);
    return copied;
}
