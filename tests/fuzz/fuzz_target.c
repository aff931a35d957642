// fuzz-links: service_api-front
// A request target from the wire to the line that goes upstream: normalized, matched, written.
// Input: the Host header, a NUL byte, the raw target.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "config/model.h"
#include "route_match.h"
#include "target.h"
#include "upstream_header.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static char root[] = "/", app[] = "/api/app/", db[] = "/api/db";
static struct config_route routes[] = {
    {.name = root, .path = root, .methods = HTTP_ANY, .upstream = 0},
    {.name = app, .path = app, .methods = HTTP_ANY, .upstream = 0, .strip_path = true},
    {.name = db, .path = db, .methods = HTTP_ANY, .upstream = 0},
};
static struct config_upstream upstream;
static const struct config_model model = {
    .upstreams = &upstream, .n_upstreams = 1, .routes = routes, .n_routes = 3};

static void check_path(const char *path, size_t len)
{
    ASSERT(strlen(path) == len && len > 0 && path[0] == '/');
    ASSERT(strstr(path, "//") == NULL && strstr(path, "/../") == NULL);
    ASSERT(strstr(path, "/./") == NULL && strpbrk(path, "\\#? \t\r\n") == NULL);
    ASSERT(!(len >= 3 && strcmp(path + len - 3, "/..") == 0));
    ASSERT(strcasestr(path, "%2f") == NULL && strcasestr(path, "%2e") == NULL);
    ASSERT(strcasestr(path, "%5c") == NULL && strcasestr(path, "%00") == NULL);
}

// Normalizing what was normalized changes nothing: what is matched is what is sent.
static void check_fixed_point(const char *path, size_t len)
{
    struct target again;
    char *twice = malloc(len + 2);
    ASSERT(twice != NULL);
    ASSERT(target_normalize(path, len, "GET", "", twice, &again) == TARGET_OK);
    ASSERT(again.path_len == len && memcmp(path, twice, len) == 0);
    free(twice);
}

static void check_route(const char *path, size_t len)
{
    struct route_match match = route_find(&model, "", path, len, HTTP_GET);
    ASSERT(match.route != NULL);
    bool is_db = strncmp(path, "/api/db", 7) == 0 && (path[7] == '/' || path[7] == '\0');
    ASSERT((match.route == &routes[2]) == is_db);
    size_t prefix = strlen(match.route->path);
    struct upstream_header header = {
        .method = "GET",
        .base_path = "",
        .path = path,
        .path_len = len,
        .strip = !match.route->strip_path ? 0
                 : len < prefix           ? len
                                          : prefix,
        .host = "a",
        .peer = "192.0.2.1",
        .request_id = "id",
        .content_length = UINT64_MAX,
    };
    size_t cap = upstream_header_bound(&header);
    char *text = malloc(cap);
    ASSERT(text != NULL);
    size_t written = upstream_header_write(&header, text, cap);
    const char *line_end = memchr(text, '\r', written);
    ASSERT(strncmp(text, "GET /", 5) == 0 && line_end != NULL);
    // Exactly two blanks: nothing in the path ends the target early.
    size_t blanks = 0;
    for (const char *c = text; c < line_end; c++)
        blanks += *c == ' ' ? 1 : 0;
    ASSERT(blanks == 2);
    free(text);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const unsigned char *end = memchr(data, '\0', size);
    if (end == NULL)
        return 0;
    const char *host = (const char *)data;
    const char *raw = (const char *)end + 1;
    size_t len = size - (size_t)(end - data) - 1;
    if (memchr(raw, '\0', len) != NULL)
        return 0; // a target with a NUL is refused before
    char *path = malloc(len + 2);
    ASSERT(path != NULL);
    struct target target;
    if (target_normalize(raw, len, "GET", host, path, &target) == TARGET_OK) {
        ASSERT(target.query_offset <= len);
        check_path(path, target.path_len);
        check_fixed_point(path, target.path_len);
        check_route(path, target.path_len);
    }
    free(path);
    return 0;
}
