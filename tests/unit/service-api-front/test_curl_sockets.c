#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "curl_sockets.h"

Test(curl_sockets, finds_and_forgets)
{
    struct curl_sockets sockets = {0};
    for (int fd = 100; fd < 140; fd++) {
        cr_assert_eq(curl_sockets_add(&sockets, fd), 0);
        curl_sockets_find(&sockets, fd)->name = curl_socket_name("1.2.3.4", 443, "5.6.7.8", fd);
    }
    for (int fd = 100; fd < 140; fd += 2)
        curl_sockets_remove(&sockets, fd);
    curl_sockets_remove(&sockets, 7); // none of ours
    cr_assert_eq(sockets.n, 20);
    for (int fd = 100; fd < 140; fd++) {
        struct curl_socket *found =
            curl_sockets_named(&sockets, curl_socket_name("1.2.3.4", 443, "5.6.7.8", fd));
        cr_expect_eq(found != NULL, fd % 2 == 1);
        cr_expect(found == NULL || found->fd == fd);
    }
    curl_sockets_fini(&sockets);
    cr_expect_null(curl_sockets_find(&sockets, 101));
}

Test(curl_sockets, names_tell_all_four_apart)
{
    uint64_t name = curl_socket_name("1.1.1.1", 443, "2.2.2.2", 5000);
    cr_expect_eq(name, curl_socket_name("1.1.1.1", 443, "2.2.2.2", 5000));
    cr_expect_neq(name, curl_socket_name("1.1.1.2", 443, "2.2.2.2", 5000));
    cr_expect_neq(name, curl_socket_name("1.1.1.1", 444, "2.2.2.2", 5000));
    cr_expect_neq(name, curl_socket_name("1.1.1.1", 443, "2.2.2.3", 5000));
    cr_expect_neq(name, curl_socket_name("1.1.1.1", 443, "2.2.2.2", 5001));
}

Test(curl_sockets, quiet_is_without_bytes_and_open)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct curl_socket at = {.fd = ends[0]};
    cr_expect(curl_socket_is_quiet(&at));
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_expect_not(curl_socket_is_quiet(&at));
    at.is_http2 = true;
    cr_expect(curl_socket_is_quiet(&at));
    at.is_http2 = false;
    char byte;
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    close(ends[1]);
    cr_expect_not(curl_socket_is_quiet(&at), "closed");
    close(ends[0]);
}
