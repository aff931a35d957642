#include <errno.h>

#include "config/model.h"
#include "config/params.h"
#include "net/bus.h"         // BUS_KEY_FORM of the services' params.def
#include "net/http_server.h" // HTTP_ADDRESS_FORM, the same
#include "pages.h"

#include "service_groups.inc"

static const char intro[] =
    "# Configuration\n"
    "\n"
    "<!-- Made by valvechain-docgen from the rows in params.def and config_fields.def: `./dev docs`"
    " -->\n"
    "\n"
    "ValveChain runs without any configuration; `UPSTREAM_URL` alone puts it in front of a "
    "backend. A parameter gets its value from, the later wins:\n"
    "\n"
    "1. its default,\n"
    "2. the configuration file (`CONFIG_FILE`), member `parameters`,\n"
    "3. `$CREDENTIALS_DIRECTORY/NAME`, a credential of systemd,\n"
    "4. the environment: `NAME`, or `NAME_FILE` with the path of a file that holds the value (for "
    "secrets; not both),\n"
    "5. `--set NAME=VALUE` on the command line.\n"
    "\n"
    "An empty variable is the default for all types but text. Truth values are true, false, 1, 0, "
    "yes, no, on, off. A bad value is refused at the start, all of them at once; `--check` does "
    "only that. Every program shows its parameters with `--help`. A parameter marked *reload* is "
    "taken over on SIGHUP (from the configuration file and from files of values; a running process "
    "keeps its environment), "
    "one marked *restart* at the next start. Secrets are shown nowhere.\n"
    "\n"
    "Parameters of several processes come first, then those of one process each, then the "
    "configuration file.\n"
    "\n";

static const char file_intro[] =
    "## Configuration file\n"
    "\n"
    "JSON, named by `CONFIG_FILE`; `valvectl config check FILE` tells what is wrong with file, "
    "line, column and what is allowed. Unknown and doubled fields are refused. Its JSON Schema is "
    "[config.schema.json](config.schema.json).\n"
    "\n"
    "```json\n"
    "{\n"
    "  \"$schema\": \"config.schema.json\",\n"
    "  \"parameters\": { \"GLOBAL_RATE_MAX\": 2000, \"LIMITS_MODE\": \"shadow\" },\n"
    "  \"upstreams\": [\n"
    "    { \"name\": \"app\", \"urls\": [\"http://10.0.0.5:8080\", \"http://10.0.0.6:8080\"],\n"
    "      \"breaker\": { \"timeout_ms\": 2000 } }\n"
    "  ],\n"
    "  \"routes\": [\n"
    "    { \"path\": \"/\", \"upstream\": \"app\" },\n"
    "    { \"path\": \"/catalog\", \"upstream\": \"app\", \"methods\": [\"GET\", \"HEAD\"],\n"
    "      \"fallbacks\": [{ \"kind\": \"mock\", \"body\": \"{\\\"items\\\":[]}\" }, "
    "{ \"kind\": \"error\" }] }\n"
    "  ]\n"
    "}\n"
    "```\n"
    "\n"
    "The variables of the section *Upstreams* become upstreams and routes of the same kind:\n"
    "\n"
    "| Variable | Upstream and breaker | Route | Fallbacks |\n"
    "|---|---|---|---|\n";

static const char after_variables[] =
    "\nThe upstream sees the whole path, prefix included. When the file has an upstream of that "
    "name, "
    "the variable only takes the place of its address, and the file's routes stay as they are.\n"
    "\n"
    "The mock of `blockchain` answers these JSON-RPC methods, so that a client can start without "
    "the chain: ";

static const char *fallback_name(enum fallback_kind kind)
{
    switch (kind) {
    case FALLBACK_MOCK:
        return "mock";
    case FALLBACK_QUEUE:
        return "queue";
    case FALLBACK_CACHE:
        return "cache";
    case FALLBACK_ERROR:
        break;
    }
    return "error";
}

// The standard upstreams as the code itself makes them.
static int append_standards(struct strbuf *out)
{
    struct problems problems = PROBLEMS_INIT;
    char url[] = "http://127.0.0.1";
    const struct upstreams_params params = {url, url, url, url};
    struct config_model *model = config_model_empty();
    const struct config_fallback *mock = NULL;
    int r = model ? config_model_add_params(model, &params, &problems) : -ENOMEM;
    for (size_t i = 0; r == 0 && i < model->n_routes; i++) {
        const struct config_route *route = &model->routes[i];
        strbuf_printf(out, "| `%s` | `%s` | `%s` | ", upstreams_param_group.rows[i].name,
                      model->upstreams[route->upstream].name, route->path);
        for (size_t j = 0; j < route->n_fallbacks; j++) {
            strbuf_printf(out, "%s%s", j ? ", then " : "", fallback_name(route->fallbacks[j].kind));
            if (route->fallbacks[j].kind == FALLBACK_MOCK)
                mock = &route->fallbacks[j];
        }
        strbuf_puts(out, route->n_fallbacks ? " |\n" : "none |\n");
    }
    strbuf_puts(out, after_variables);
    for (size_t i = 0; mock && mock->rpc_methods[i]; i++)
        strbuf_printf(out, "%s`%s`", i ? ", " : "", mock->rpc_methods[i]);
    if (mock)
        strbuf_printf(out,
                      ". It invents nothing: `%s`. Its queue keeps `eth_sendRawTransaction`.\n\n",
                      mock->mock_body);
    problems_fini(&problems);
    config_model_destroy(&model);
    return r;
}

int configuration_page(struct strbuf *out)
{
    static const struct param_group *const shared_groups[] = {
        &suite_param_group,    &upstreams_param_group,  &limits_param_group,
        &breakers_param_group, &monitoring_param_group, &autoscaling_param_group,
    };
    strbuf_puts(out, intro);
    for (size_t i = 0; i < sizeof(shared_groups) / sizeof(shared_groups[0]); i++)
        param_group_markdown(shared_groups[i], out);
    for (size_t i = 0; i < sizeof(service_groups) / sizeof(service_groups[0]); i++)
        param_group_markdown(&service_groups[i], out);
    strbuf_puts(out, file_intro);
    int r = append_standards(out);
    config_model_markdown(out);
    return r;
}

int schema_page(struct strbuf *out)
{
    return config_model_schema(out);
}
