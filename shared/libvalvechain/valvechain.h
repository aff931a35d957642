// libvalvechain: guards an application's own calls (a database driver, an SMTP library) by the
// circuit breakers of a ValveChain suite on the same machine, straight in the suite's shared
// memory: a permit before the call, its outcome after it. Link with `pkg-config --libs valvechain`.
//
// Errors: every int is 0 or a negative errno value; outputs are written on success only, unless
// said otherwise. Nothing here waits for another process, nothing is logged, errno is not used.
//
// Threads: any thread may use a handle; its calls follow one another by a mutex that is held for
// well under a microsecond. valvechain_detach() must be the last one. Not for signal handlers.
//
// fork: a handle belongs to the process that attached. A child's calls with it return -ECHILD, and
// it takes nothing with it: the parent's death frees its permits though the child lives on. A child
// that wants permits attaches by itself. exec closes everything.
//
// Death: permits of a process that dies come back at once, without an outcome. Those of a process
// that gives no sign of life for CB_PERMIT_LEASE (10 s) no longer count against the capacity:
// every call here is a sign of life, and valvechain_alive() is nothing else.
#ifndef VALVECHAIN_VALVECHAIN_H
#define VALVECHAIN_VALVECHAIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VALVECHAIN_REASON_MAX 320 // bytes that a reason needs at most

struct valvechain; // an attachment; one a process is enough

// Memory of the caller's, to be copied by nobody and used with its handle only.
struct valvechain_permit {
    uint64_t opaque[10];
};

enum valvechain_outcome {
    VALVECHAIN_SUCCESS,
    VALVECHAIN_FAILURE, // the dependency's: an error of its own, a broken connection
    VALVECHAIN_TIMEOUT,
    VALVECHAIN_IGNORED, // says nothing about the dependency (a mistake of the caller's): not
                        // counted
};

// Attaches to the suite that VALVECHAIN_NAME (default "valvechain") and SHM_DIR (default
// "/dev/shm") in the environment name. `application` is shown as app-NAME to operators: 1 to 19 of
// a-z, 0-9 and '-'. Each attachment takes one of the suite's 32 process slots, of which 8 are left
// for the suite. On failure one sentence for people goes into `ret_reason` (`reason_bytes` bytes;
// NULL: not wanted).
//   -ENOENT  no suite of that name runs here         -EACCES  this user may not write to it: be a
//   -EPROTO  what lies there is not a segment of              member of the suite's group
//            this version's                          -ENOSPC  no slot is left for applications
//   -EINVAL  a name is not allowed                   -ENOMEM
int valvechain_attach(const char *application, char *ret_reason, size_t reason_bytes,
                      struct valvechain **ret_handle);
// Gives back every permit without an outcome, frees and sets NULL. NULL is allowed; in a forked
// child it only sets NULL.
void valvechain_detach(struct valvechain **handle);

// May a call be made that this breaker guards? 0: it may, and valvechain_report() must follow.
// Refused, with the milliseconds after which asking again makes sense in `ret_retry_after_ms`
// (may be NULL):
//   -EHOSTDOWN  the breaker is open                  -EBUSY   as many calls as CB_CAPACITY admits
//   -ESHUTDOWN  an operator holds it open                     are under way
//   -EAGAIN     it has just recovered, and not all calls are admitted yet
// Else: -ENOENT no such breaker, -ECHILD the handle is a parent's.
int valvechain_acquire(struct valvechain *handle, const char *breaker,
                       struct valvechain_permit *ret_permit, uint64_t *ret_retry_after_ms);
// The call is over. `duration_ns` 0: it took the time since the permit was given. The permit is
// then used up. -EALREADY: it was already; -EINVAL: it is none, or no outcome; -ECHILD.
int valvechain_report(struct valvechain *handle, struct valvechain_permit *permit,
                      enum valvechain_outcome outcome, uint64_t duration_ns);

// A sign of life, for a process that holds a permit for seconds and makes no other call here: at
// least every two seconds. -ESTALE: the suite's memory was removed meanwhile; detach, and attach
// anew. -ECHILD.
int valvechain_alive(struct valvechain *handle);

// "open", "capacity", "ramp" or "forced" for what valvechain_acquire() refuses with; NULL for any
// other number.
const char *valvechain_refusal(int error);
const char *valvechain_version(void); // "1.2.3"

#ifdef __cplusplus
}
#endif

#endif
