#include "config/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/file.h"
#include "config/reader.h"

#define FILE_MAX_BYTES (1024 * 1024)

bool config_upstream_is_smtp(const struct config_upstream *upstream)
{
    return upstream->n_endpoints > 0 && upstream->endpoints[0].smtp;
}

const struct config_fallback *config_fallbacks(const struct config_upstream *upstream,
                                               const struct config_route *route, size_t *ret_n)
{
    *ret_n = route->n_fallbacks > 0 ? route->n_fallbacks : upstream->n_fallbacks;
    return route->n_fallbacks > 0 ? route->fallbacks : upstream->fallbacks;
}

bool config_mail_is_direct(const struct config_upstream *upstream, const struct config_route *route)
{
    size_t n;
    const struct config_fallback *chain = config_fallbacks(upstream, route, &n);
    return config_upstream_is_smtp(upstream) &&
           (upstream->smtp.submit == SUBMIT_DIRECT || n == 0 || chain[0].kind != FALLBACK_QUEUE);
}

const struct config_fallback *config_fallback_find(const struct config_upstream *upstream,
                                                   const struct config_route *route,
                                                   enum fallback_kind kind)
{
    size_t n;
    const struct config_fallback *chain = config_fallbacks(upstream, route, &n);
    for (size_t i = 0; i < n; i++)
        if (chain[i].kind == kind)
            return &chain[i];
    return NULL;
}

struct config_model *config_model_empty(void)
{
    struct config_model *model = calloc(1, sizeof(*model));

    if (model && config_object_defaults(OBJECT_model, model) < 0)
        config_model_destroy(&model);
    return model;
}

void config_model_destroy(struct config_model **model)
{
    if (!model || !*model)
        return;
    for (size_t i = 0; i < (*model)->n_parameters; i++) {
        free((*model)->parameters[i].name);
        free((*model)->parameters[i].value);
        free((*model)->parameters[i].place);
    }
    free((*model)->parameters);
    config_object_fini(OBJECT_model, *model);
    free(*model);
    *model = NULL;
}

static int no_memory(const char *name, struct problems *problems)
{
    problems_add(problems, "%s: out of memory while reading the configuration", name);
    return -ENOMEM;
}

// *ret_reader says whether it went well; the model is then complete, else parameters at the most.
static struct config_model *read_model(const char *name, const char *text, size_t len, json_t *json,
                                       struct problems *problems, struct reader *ret_reader)
{
    struct config_model *model = config_model_empty();
    const struct json_path root = {0};
    *ret_reader = (struct reader){.file = name,
                                  .text = text,
                                  .len = len,
                                  .problems = problems,
                                  .model = model,
                                  .no_memory = !model};
    if (model)
        reader_object(ret_reader, &root, json, OBJECT_model, model);
    return model;
}

int config_model_parse(const char *name, const char *text, size_t len, struct problems *problems,
                       struct config_model **ret_model)
{
    json_error_t error;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!json && json_error_code(&error) == json_error_out_of_memory)
        return no_memory(name, problems);
    if (!json) {
        problems_add(problems, "%s:%d:%d: not JSON: %s", name, error.line,
                     error.column > 0 ? error.column : 1, error.text);
        return -EINVAL;
    }
    struct reader reader;
    struct config_model *model = read_model(name, text, len, json, problems, &reader);
    json_decref(json);
    if (reader.no_memory || reader.failed) {
        config_model_destroy(&model);
        return reader.no_memory ? no_memory(name, problems) : -EINVAL;
    }
    *ret_model = model;
    return 0;
}

struct config_model *config_model_load_parameters(const char *path)
{
    struct strbuf text = STRBUF_INIT;
    struct problems told = PROBLEMS_INIT; // by config_model_load() already
    struct config_model *parameters = config_model_empty(), *model = NULL;
    json_error_t error;
    json_t *json = NULL;
    struct reader reader = {0};
    if (parameters && file_read(path, FILE_MAX_BYTES, &text) == 0)
        json = json_loadb(strbuf_text(&text), text.len, JSON_REJECT_DUPLICATES, &error);
    if (json)
        model = read_model(path, strbuf_text(&text), text.len, json, &told, &reader);
    if (model && !reader.no_memory) {
        parameters->parameters = model->parameters;
        parameters->n_parameters = model->n_parameters;
        model->parameters = NULL;
        model->n_parameters = 0;
    } else {
        config_model_destroy(&parameters);
    }
    config_model_destroy(&model);
    json_decref(json);
    problems_fini(&told);
    strbuf_fini(&text);
    return parameters;
}

int config_model_load(const char *path, struct problems *problems, struct config_model **ret_model)
{
    struct strbuf text = STRBUF_INIT;
    int r = file_read(path, FILE_MAX_BYTES, &text);
    if (r == -EFBIG)
        problems_add(problems, "%s: the file is larger than %d bytes", path, FILE_MAX_BYTES);
    else if (r < 0)
        problems_add(problems, "%s: cannot read the configuration file: %s", path, strerror(-r));
    else
        r = config_model_parse(path, strbuf_text(&text), text.len, problems, ret_model);
    strbuf_fini(&text);
    return r;
}

static const struct config_parameter *find_parameter(const struct config_model *model,
                                                     const char *name)
{
    for (size_t i = 0; i < model->n_parameters; i++)
        if (strcmp(model->parameters[i].name, name) == 0)
            return &model->parameters[i];
    return NULL;
}

const char *config_model_parameter(const struct config_model *model, const char *name)
{
    const struct config_parameter *parameter = find_parameter(model, name);
    return parameter ? parameter->value : NULL;
}

const char *config_model_parameter_place(const struct config_model *model, const char *name)
{
    const struct config_parameter *parameter = find_parameter(model, name);
    return parameter ? parameter->place : NULL;
}

void config_upstream_drop_endpoints(struct config_upstream *upstream)
{
    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        free(upstream->endpoints[i].host);
        free(upstream->endpoints[i].unix_path);
    }
    free(upstream->endpoints);
    free(upstream->base_path);
    upstream->endpoints = NULL;
    upstream->n_endpoints = 0;
    upstream->base_path = NULL;
}

int config_upstream_add_url(struct config_upstream *upstream, const char *url, const char **ret_why)
{
    struct config_endpoint endpoint;
    char *base_path;
    int r = config_endpoint_parse(url, &endpoint, &base_path, ret_why);
    if (r < 0)
        return r;
    size_t n = upstream->n_endpoints;
    struct config_endpoint *endpoints = realloc(upstream->endpoints, (n + 1) * sizeof(*endpoints));
    if (endpoints)
        upstream->endpoints = endpoints;
    bool other_path = upstream->base_path && strcmp(upstream->base_path, base_path) != 0;
    bool other_scheme = endpoints && n > 0 &&
                        (endpoints[0].tls != endpoint.tls || endpoints[0].smtp != endpoint.smtp);
    if (!endpoints || other_path || other_scheme) {
        *ret_why = other_scheme ? "has another scheme than the first, allowed is the same for all"
                                : "has another path than the first, allowed is the same for all";
        free(endpoint.host);
        free(endpoint.unix_path);
        free(base_path);
        return endpoints ? -EINVAL : -ENOMEM;
    }
    endpoints[n] = endpoint;
    upstream->n_endpoints++;
    if (upstream->base_path)
        free(base_path);
    else
        upstream->base_path = base_path;
    return 0;
}
