// How a call to the upstream ended. Thread: any.
#ifndef VALVECHAIN_API_FRONT_EXCHANGE_RESULT_H
#define VALVECHAIN_API_FRONT_EXCHANGE_RESULT_H

// How a call to the upstream ended, for valve.c and the log.
enum exchange_result {
    EXCHANGE_ANSWERED, // complete answer passed (any status)
    EXCHANGE_CONNECT_FAILED,
    EXCHANGE_CONNECT_TIMEOUT,
    EXCHANGE_TLS_FAILED, // a certificate is not trusted, or there is no common way to encrypt
    EXCHANGE_FIRST_BYTE_TIMEOUT,
    EXCHANGE_IDLE_TIMEOUT,
    EXCHANGE_TOTAL_TIMEOUT,
    EXCHANGE_RESET,          // connection lost before or within the answer
    EXCHANGE_BAD_ANSWER,     // not HTTP/1.1
    EXCHANGE_HEAD_TOO_LARGE, // beside the request's, so of the client's making too: ignored
    EXCHANGE_POOL_FULL,      // refused here
    EXCHANGE_NO_ADDRESS,     // name does not resolve
    EXCHANGE_CLIENT_GONE,    // ignored by the breaker
};

#endif
