// libcurl's multi interface in a libuv loop: calls are added and end by a callback; sockets and
// timers of libcurl's are the loop's. One is a cache of connections, too: what is called through
// the same one uses the same kept connections.
//
// libcurl must not be called from within its own callbacks (write, read, header, ...). They note
// what is new and mark the call; on_moved() comes when libcurl has returned.
// Thread: the loop's.
#ifndef VALVECHAIN_NET_CURL_LOOP_H
#define VALVECHAIN_NET_CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <uv.h>

struct curl_loop;

struct curl_call { // part of the caller's own struct
    CURL *easy;    // the caller's, with every option set but CURLOPT_PRIVATE
    // The call is over and no longer in the loop; the handle can still be asked, and is the
    // caller's to clean up.
    void (*on_done)(struct curl_call *call, CURLcode code);
    void (*on_moved)(struct curl_call *call); // NULL: never marked
    struct curl_loop *loop;                   // NULL: in none
    struct curl_call *next, *previous;
    struct curl_call *next_moved;
    bool moved;
};

// 0 or -ENOMEM.
int curl_loop_create(uv_loop_t *loop, struct curl_loop **ret_loop);
// Calls under way end with CURLE_ABORTED_BY_CALLBACK; the uv loop must turn once more.
void curl_loop_destroy(struct curl_loop **loop);
// So many connections are kept at most, those in use among them (0: no bound).
void curl_loop_keep(struct curl_loop *loop, unsigned connections);

// A handle without any option, a used one if there is one: it still has its buffers and its TLS
// sessions. NULL: no memory.
CURL *curl_loop_get_easy(struct curl_loop *loop);
// Takes one back that is in no call; NULL: nothing happens.
void curl_loop_put_easy(struct curl_loop *loop, CURL *easy);

// Begins a call, later in the loop: no callback comes before this returns. 0 or -ENOMEM.
int curl_loop_add(struct curl_loop *loop, struct curl_call *call);
// Gives a call up without a word; not from within a callback of libcurl's. One that is in no loop
// stays so.
void curl_loop_remove(struct curl_call *call);
// From within a callback of libcurl's, or anywhere else: on_moved() comes soon.
void curl_call_mark(struct curl_call *call);
// Lets what returned CURL_READFUNC_PAUSE or CURL_WRITEFUNC_PAUSE go on; what still has to wait is
// named in CURLPAUSE_ bits. Not from within a callback of libcurl's.
void curl_call_pause(struct curl_call *call, int bits);

#endif
