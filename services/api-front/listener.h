// A listening socket with its libmicrohttpd daemon, run inside the libuv loop: the daemon's epoll
// descriptor stands in ours, and MHD_run() is called once a turn when there is something to do.
// Sockets: from systemd (LISTEN_FDS; the one named `admin` for ADMIN_PORT), else bound here with
// SO_REUSEPORT, IPv6 and IPv4 in one. TLS when a certificate is given.
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_LISTENER_H
#define VALVECHAIN_API_FRONT_LISTENER_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "address_count.h"
#include "listener_tls.h"

struct client;
struct front;
struct request;

struct listener {
    struct front *front;
    bool admin;
    struct MHD_Daemon *daemon;
    struct listener_tls *tls; // NULL: plain HTTP
    uv_poll_t poll;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; // active: the next turn must not wait
    uv_timer_t later;
    unsigned handles_open;
    bool run_wanted;
    bool moved; // the last run read, wrote, began or ended something
    struct request *ready_first, *ready_last;

    struct client *clients;
    size_t n_clients;
    size_t n_waiting;
    struct address_counts per_address;
    bool quiesced;
};

// 0 or -errno (has logged why).
int listener_create(struct front *front, bool admin, uint16_t port, struct listener **ret_listener);
// Stops accepting; the socket is closed. Connections that still wait in its accept queue are lost,
// unless another holder of the same socket (systemd) keeps it open.
void listener_quiesce(struct listener *listener);
// Ends every connection at once, closes the handles; free() follows when libuv lets go of them.
void listener_destroy(struct listener **listener);
void listener_tick(struct listener *listener, uint64_t now_ms);
// There is work for libmicrohttpd: it is run in this turn of the loop.
void listener_run_soon(struct listener *listener);
// Counts a connection under its address; NULL when its peer is not bound.
struct address_count *listener_count_peer(struct listener *listener, const struct address *peer);
void listener_add_ready(struct listener *listener, struct request *request);
void listener_remove_ready(struct listener *listener, struct request *request);

#endif
