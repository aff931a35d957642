#include <criterion/criterion.h>
#include <string.h>

#include "route_match.h"

static struct config_route routes[] = {
    {.name = (char[]){"all"}, .path = (char[]){"/"}, .methods = HTTP_ANY},
    {.name = (char[]){"db"}, .path = (char[]){"/api/db/"}, .methods = HTTP_ANY},
    {.name = (char[]){"db-reports"},
     .path = (char[]){"/api/db/reports"},
     .methods = HTTP_GET | HTTP_HEAD},
    {.name = (char[]){"db-reports-post"},
     .path = (char[]){"/api/db/reports"},
     .methods = HTTP_POST},
    {.name = (char[]){"hosted"},
     .path = (char[]){"/api/db"},
     .host = (char[]){"db.example"},
     .methods = HTTP_ANY},
    {.name = (char[]){"only-get"}, .path = (char[]){"/ro"}, .methods = HTTP_GET},
};
static const struct config_model model = {.routes = routes,
                                          .n_routes = sizeof(routes) / sizeof(routes[0])};

static const char *name_of(const char *host, const char *path, unsigned method)
{
    struct route_match match = route_find(&model, host, path, strlen(path), method);
    return match.route != NULL ? match.route->name : "";
}

Test(route, prefixes_match_on_segment_boundaries)
{
    cr_expect(route_path_matches("/api/db", "/api/db", 7));
    cr_expect(route_path_matches("/api/db", "/api/db/x", 9));
    cr_expect(route_path_matches("/api/db/", "/api/db", 7));
    cr_expect(route_path_matches("/api/db/", "/api/db/", 8));
    cr_expect(route_path_matches("/", "/anything", 9));
    cr_expect_not(route_path_matches("/api/db", "/api/dbx", 8));
    cr_expect_not(route_path_matches("/api/db/", "/api/d", 6));
    cr_expect_not(route_path_matches("/api/db", "/API/db", 7));
    cr_expect_not(route_path_matches("/api/db", "/", 1));
}

Test(route, longest_prefix_wins_whatever_the_order)
{
    cr_expect_str_eq(name_of("", "/api/db/reports/1", HTTP_GET), "db-reports");
    cr_expect_str_eq(name_of("", "/api/db/reportsX", HTTP_GET), "db");
    cr_expect_str_eq(name_of("", "/api/db", HTTP_GET), "db");
    cr_expect_str_eq(name_of("", "/api/dbx", HTTP_GET), "all");
}

Test(route, methods_of_one_prefix_add_up)
{
    cr_expect_str_eq(name_of("", "/api/db/reports", HTTP_POST), "db-reports-post");
    struct route_match match = route_find(&model, "", "/api/db/reports", 15, HTTP_DELETE);
    cr_expect_null(match.route, "a shorter route must not take over a method");
    cr_expect_eq(match.allowed_methods, HTTP_GET | HTTP_HEAD | HTTP_POST);
}

Test(route, a_host_beats_none_of_the_same_length_only)
{
    cr_expect_str_eq(name_of("db.example", "/api/db/x", HTTP_GET), "hosted");
    cr_expect_str_eq(name_of("db.example", "/api/db/reports", HTTP_GET), "db-reports");
    cr_expect_str_eq(name_of("other.example", "/api/db/x", HTTP_GET), "db");
}

Test(route, nothing_matches_is_told_from_wrong_method)
{
    struct config_model few = {.routes = routes + 5, .n_routes = 1};
    struct route_match none = route_find(&few, "", "/rox", 4, HTTP_GET);
    cr_expect_null(none.route);
    cr_expect_eq(none.allowed_methods, 0);
    struct route_match wrong = route_find(&few, "", "/ro", 3, HTTP_PUT);
    cr_expect_null(wrong.route);
    cr_expect_eq(wrong.allowed_methods, HTTP_GET);
}

Test(route, allow_names_methods)
{
    struct strbuf out = STRBUF_INIT;
    route_allow_field(HTTP_GET | HTTP_HEAD | HTTP_OTHER | HTTP_OPTIONS, &out);
    cr_expect_str_eq(strbuf_text(&out), "GET, HEAD, OPTIONS");
    strbuf_fini(&out);
}
