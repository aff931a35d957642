// hiredis in a libuv loop.
#ifndef VALVECHAIN_LIMITER_REDIS_UV_H
#define VALVECHAIN_LIMITER_REDIS_UV_H

#include <hiredis/async.h>
#include <uv.h>

// From now on the context's socket is watched. It goes with the context (redisAsyncFree). -errno.
int redis_uv_attach(redisAsyncContext *context, uv_loop_t *loop);

#endif
