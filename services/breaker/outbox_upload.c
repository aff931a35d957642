#include "outbox_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STILL_MS 60000 // a body that does not grow for this long was left behind

void outbox_uploads_init(struct outbox_uploads *uploads, const char *path, uint64_t max_bytes)
{
    *uploads = (struct outbox_uploads){.max_bytes = max_bytes};
    snprintf(uploads->dir, sizeof(uploads->dir), "%s.d", path);
}

static struct outbox_body **find(struct outbox_uploads *uploads, const char *name)
{
    for (size_t i = 0; i < OUTBOX_UPLOADS_MAX; i++)
        if (uploads->bodies[i] != NULL && strcmp(uploads->bodies[i]->name, name) == 0)
            return &uploads->bodies[i];
    return NULL;
}

static void drop(struct outbox_uploads *uploads, struct outbox_body **at, bool keep_file)
{
    struct outbox_body *body = *at;
    char path[sizeof(uploads->dir) + sizeof(body->file) + 2];
    *at = NULL;
    close(body->fd);
    snprintf(path, sizeof(path), "%s/%s", uploads->dir, body->file);
    if (!keep_file)
        unlink(path);
    free(body);
}

void outbox_uploads_fini(struct outbox_uploads *uploads)
{
    for (size_t i = 0; i < OUTBOX_UPLOADS_MAX; i++)
        if (uploads->bodies[i] != NULL)
            drop(uploads, &uploads->bodies[i], false);
}

static bool is_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len < OUTBOX_UPLOAD_NAME_MAX &&
           strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz-") == len;
}

static int create(struct outbox_uploads *uploads, const char *name, struct outbox_body ***ret_at)
{
    size_t i = 0;
    while (i < OUTBOX_UPLOADS_MAX && uploads->bodies[i] != NULL)
        i++;
    if (i == OUTBOX_UPLOADS_MAX)
        return -ENOBUFS;
    if (mkdir(uploads->dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    struct outbox_body *body = calloc(1, sizeof(*body));
    char path[sizeof(uploads->dir) + sizeof(body->file) + 2];
    if (body == NULL)
        return -ENOMEM;
    snprintf(body->name, sizeof(body->name), "%s", name);
    snprintf(body->file, sizeof(body->file), "%s.body", name);
    snprintf(path, sizeof(path), "%s/%s", uploads->dir, body->file);
    body->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (body->fd < 0) {
        int error = -errno;
        free(body);
        return error;
    }
    crypto_generichash_init(&body->hash, NULL, 0, crypto_generichash_BYTES_MIN);
    uploads->bodies[i] = body;
    *ret_at = &uploads->bodies[i];
    return 0;
}

static int append(struct outbox_body *body, const void *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(body->fd, (const char *)bytes + done, len - done);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    crypto_generichash_update(&body->hash, bytes, len);
    body->bytes += len;
    return 0;
}

int outbox_uploads_add(struct outbox_uploads *uploads, const char *name, uint64_t offset,
                       const void *bytes, size_t len, uint64_t now_ms)
{
    struct outbox_body **at = is_name(name) ? find(uploads, name) : NULL;
    int rc = 0;
    if (!is_name(name) || (at != NULL && (*at)->taken))
        return -EPROTO;
    if (at == NULL && offset == 0)
        rc = create(uploads, name, &at);
    if (rc < 0 || at == NULL)
        return rc < 0 ? rc : -EPROTO;
    if ((*at)->bytes != offset)
        rc = -EPROTO;
    else if (offset + len > uploads->max_bytes)
        rc = -EFBIG;
    else
        rc = append(*at, bytes, len);
    (*at)->touched_ms = now_ms;
    if (rc < 0)
        drop(uploads, at, false);
    return rc;
}

void outbox_uploads_abandon(struct outbox_uploads *uploads, const char *name)
{
    struct outbox_body **at = find(uploads, name);
    if (at != NULL)
        drop(uploads, at, false);
}

struct outbox_body *outbox_uploads_take(struct outbox_uploads *uploads, const char *name)
{
    struct outbox_body **at = find(uploads, name);
    if (at == NULL || (*at)->taken)
        return NULL;
    (*at)->taken = true;
    return *at;
}

void outbox_uploads_keep(struct outbox_uploads *uploads, struct outbox_body *body)
{
    drop(uploads, find(uploads, body->name), true);
}

void outbox_uploads_expire(struct outbox_uploads *uploads, uint64_t now_ms)
{
    for (size_t i = 0; i < OUTBOX_UPLOADS_MAX; i++) {
        struct outbox_body *body = uploads->bodies[i];
        if (body != NULL && !body->taken && now_ms > body->touched_ms + STILL_MS)
            drop(uploads, &uploads->bodies[i], false);
    }
}

int outbox_body_sync(const struct outbox_uploads *uploads, const struct outbox_body *body)
{
    int dir = open(uploads->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int rc = fdatasync(body->fd) < 0 || fsync(dir) < 0 ? -errno : 0;
    close(dir);
    return rc;
}
