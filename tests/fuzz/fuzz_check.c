// fuzz-links: service_limiter
// A LimitCheckBatch as it comes: what we take, protobuf-c takes, and it means the same.
#include <string.h>

#include "base/assert.h"
#include "check_wire.h"

#define CHECKS_MAX 64

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

// protobuf-c ends a text at its first NUL byte.
static void expect_text(const struct check_text *ours, const char *theirs)
{
    ASSERT(strnlen(ours->text, ours->len) == strlen(theirs) &&
           memcmp(ours->text, theirs, strlen(theirs)) == 0);
}

static void expect_same(const struct check_request *ours, const Valvechain__V1__LimitCheck *theirs)
{
    expect_text(&ours->client, theirs->client);
    expect_text(&ours->subject, theirs->subject);
    expect_text(&ours->api_key, theirs->api_key);
    expect_text(&ours->path, theirs->path);
    expect_text(&ours->method, theirs->method);
    expect_text(&ours->tier, theirs->tier);
    expect_text(&ours->region, theirs->region);
    expect_text(&ours->host, theirs->host);
    ASSERT(ours->cost == theirs->cost);
    ASSERT(ours->peek == (theirs->peek != 0));
    ASSERT(ours->refundable == (theirs->refundable != 0));
    ASSERT(ours->explain == (theirs->explain != 0));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct check_request ours[CHECKS_MAX];
    struct check_text one;
    size_t n;

    if (check_wire_read_batch(data, size, ours, CHECKS_MAX, &n) < 0)
        return 0;
    Valvechain__V1__LimitCheckBatch *theirs =
        valvechain__v1__limit_check_batch__unpack(NULL, size, data);
    ASSERT(theirs && theirs->n_checks == n);
    for (size_t i = 0; i < n; i++) {
        expect_same(&ours[i], theirs->checks[i]);
        ASSERT(check_wire_find_of_batch(data, size, i, &one));
    }
    valvechain__v1__limit_check_batch__free_unpacked(theirs, NULL);
    return 0;
}
