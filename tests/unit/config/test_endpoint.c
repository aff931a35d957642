#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/model.h"

static void expect_scheme(const char *url, bool tls, const char *host, unsigned port,
                          const char *base_path)
{
    struct config_endpoint endpoint;
    char *path;
    const char *why = "";
    cr_assert_eq(config_endpoint_parse(url, &endpoint, &path, &why), 0, "%s: %s", url, why);
    cr_expect_str_eq(endpoint.host, host, "%s", url);
    cr_expect_eq(endpoint.port, port, "%s", url);
    cr_expect_str_eq(path, base_path, "%s: %s", url, path);
    cr_expect_null(endpoint.unix_path);
    cr_expect_eq(endpoint.tls, tls);
    free(endpoint.host);
    free(path);
}

static void expect(const char *url, const char *host, unsigned port, const char *base_path)
{
    expect_scheme(url, false, host, port, base_path);
}

static void expect_unix(const char *url, const char *socket)
{
    struct config_endpoint endpoint;
    char *path;
    const char *why = "";
    cr_assert_eq(config_endpoint_parse(url, &endpoint, &path, &why), 0, "%s: %s", url, why);
    cr_expect_null(endpoint.host);
    cr_expect_str_eq(endpoint.unix_path, socket);
    cr_expect_str_empty(path);
    free(endpoint.unix_path);
    free(path);
}

static void expect_refusal(const char *url, const char *part_of_why)
{
    struct config_endpoint endpoint = {.port = 4711};
    char *path = NULL;
    const char *why = NULL;
    cr_expect_eq(config_endpoint_parse(url, &endpoint, &path, &why), -EINVAL, "'%s'", url);
    cr_expect_not_null(why);
    cr_expect(why && strstr(why, part_of_why), "'%s': %s", url, why);
    cr_expect(endpoint.port == 4711 && !path, "the outputs stay untouched");
}

Test(endpoint, http)
{
    expect("http://app:8080", "app", 8080, "");
    expect("http://app", "app", 80, "");
    expect("HTTP://App.Example.COM:1/", "app.example.com", 1, "");
    expect("http://127.0.0.1:65535/v1", "127.0.0.1", 65535, "/v1");
    expect("http://127.0.0.1/v1/deep/", "127.0.0.1", 80, "/v1/deep");
    expect("http://[::1]:80/x", "::1", 80, "/x");
    expect("http://[2001:DB8::1]", "2001:db8::1", 80, "");
    expect("http://my_service-1.local", "my_service-1.local", 80, "");
}

Test(endpoint, https)
{
    expect_scheme("https://app", true, "app", 443, "");
    expect_scheme("HTTPS://App.Example.COM:8443/v1/", true, "app.example.com", 8443, "/v1");
    expect_scheme("https://[::1]/x", true, "::1", 443, "/x");
}

Test(endpoint, smtp)
{
    expect_scheme("smtp://mail", false, "mail", 25, "");
    expect_scheme("smtps://Mail:1465/", true, "mail", 1465, "");
    expect_refusal("smtp://mail/x", "have no path");
}

Test(endpoint, unix_sockets)
{
    expect_unix("unix:/run/app.sock", "/run/app.sock");
    expect_unix("unix:///run/app.sock", "/run/app.sock");
    char url[200];
    memset(url, 'x', sizeof(url));
    memcpy(url, "unix:/", 6);
    url[5 + 107] = '\0';
    expect_unix(url, url + 5);
    url[5 + 107] = 'x';
    url[5 + 108] = '\0';
    expect_refusal(url, "at most 107 bytes");
    expect_refusal("unix:", "absolute path");
    expect_refusal("unix:run/app.sock", "absolute path");
    expect_refusal("unix:/", "absolute path");
}

Test(endpoint, refusals_say_what_is_allowed)
{
    const char allowed[] = "allowed " CONFIG_URL_ALLOWED;
    const char *const bad[] = {"",
                               "app:8080",
                               "//app",
                               "ftp://app",
                               "http:app",
                               "https:app",
                               "https://",
                               "https://u:p@app",
                               "http://",
                               "http://:80",
                               "http://a b",
                               "http://\xc3\xbc",
                               "http://u:p@app",
                               "http://[::1",
                               "http://[1.2.3.4]",
                               "http://[fe80::1%eth0]",
                               "http://.app",
                               "unix"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_refusal(bad[i], allowed);
    const char *const ports[] = {"http://app:",  "http://app:0",   "http://app:65536",
                                 "http://app:x", "http://[::1]80", "http://app:80:80"};
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        expect_refusal(ports[i], "allowed 1 to 65535");
    const char *const paths[] = {"http://app/a?b", "http://app?b",   "http://app/#f",
                                 "http://app//",   "http://app/../", "http://app/./",
                                 "http://app/%2f", "http://app\\x",  "http://app/a b"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        expect_refusal(paths[i], "the path must be plain");
}

Test(endpoint, is_written_as_it_is_read)
{
    const char *const urls[] = {"http://10.0.0.1:8080", "http://[::1]:80", "unix:/run/app.sock",
                                "smtp://mail:25", "smtps://mail:465"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct config_endpoint endpoint;
        char *base_path, text[CONFIG_ENDPOINT_TEXT_MAX];
        const char *why;
        cr_assert_eq(config_endpoint_parse(urls[i], &endpoint, &base_path, &why), 0);
        config_endpoint_format(&endpoint, text);
        cr_expect_str_eq(text, urls[i]);
        free(endpoint.host);
        free(endpoint.unix_path);
        free(base_path);
    }
}
