#include "config/param_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/file.h"

#define FILE_MAX_BYTES 65536

static int set_text(struct param_text *found, const char *text, const char *name,
                    const char *source)
{
    found->text = strdup(text);
    if (!found->text)
        return -ENOMEM;
    snprintf(found->label, sizeof(found->label), "%s (%s)", name, source);
    return 0;
}

// The file's text without the line end that editors and `echo` leave.
static int read_text(const char *path, char **ret_text)
{
    struct strbuf content = STRBUF_INIT;
    int r = file_read(path, FILE_MAX_BYTES, &content);
    if (r == 0 && content.len > 0 && memchr(content.text, '\0', content.len))
        r = -EBADMSG;
    if (r < 0) {
        strbuf_fini(&content);
        return r;
    }
    while (content.len > 0 && strchr("\r\n", content.text[content.len - 1]))
        content.text[--content.len] = '\0';
    char *text = strbuf_take(&content);
    if (!text)
        return -ENOMEM;
    *ret_text = text;
    return 0;
}

static int find_file(struct param_text *found, const char *name, const char *path,
                     struct problems *problems)
{
    int r = read_text(path, &found->text);
    if (r == 0) {
        snprintf(found->label, sizeof(found->label), "%s (file %s)", name, path);
        return 0;
    }
    if (r == -ENOMEM)
        return r;
    problems_add(problems, "%s: cannot take its value from the file '%s': %s", name, path,
                 r == -EBADMSG ? "it holds a zero byte, allowed is text"
                 : r == -EFBIG ? "it is larger than 65536 bytes"
                               : strerror(-r));
    return -EINVAL;
}

static int find_assignment(struct param_text *found, const char *name,
                           const struct param_sources *sources)
{
    size_t len = strlen(name);
    for (size_t i = sources->n_assignments; i-- > 0;) { // the last one wins
        const char *text = sources->assignments[i];
        if (strncmp(text, name, len) == 0 && text[len] == '=')
            return set_text(found, text + len + 1, name, "--set");
    }
    return 0;
}

static int find_environment(struct param_text *found, const struct param_row *row, const char *name,
                            struct problems *problems)
{
    char file_name[128];
    snprintf(file_name, sizeof(file_name), "%s_FILE", name);
    const char *text = getenv(name), *path = getenv(file_name);
    if (path && *path == '\0')
        path = NULL;
    bool empty_is_text = row->type == PARAM_TYPE_STR && !(row->flags & PARAM_UNSET_OK) && !path;
    if (text && *text == '\0' && !empty_is_text)
        text = NULL;
    if (text && path) {
        problems_add(problems, "%s and %s are both set, allowed is one of them", name, file_name);
        return -EINVAL;
    }
    if (path)
        return find_file(found, name, path, problems);
    return text ? set_text(found, text, name, "environment") : 0;
}

static int find_credential(struct param_text *found, const char *name, struct problems *problems)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];
    if (!dir || (size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path) ||
        access(path, F_OK) < 0)
        return 0;
    return find_file(found, name, path, problems);
}

static int find_config(struct param_text *found, const char *name,
                       const struct param_sources *sources)
{
    const char *text =
        sources->config_value ? sources->config_value(sources->config_arg, name) : NULL;
    const char *place =
        sources->config_place ? sources->config_place(sources->config_arg, name) : NULL;
    if (!text)
        return 0;
    int r = set_text(found, text, name, "configuration file");
    if (r == 0 && place)
        snprintf(found->label, sizeof(found->label), "%s: %s", place, name);
    return r;
}

int param_source_find(const struct param_row *row, const struct param_sources *sources,
                      struct param_text *ret_text, struct problems *problems)
{
    enum { ASSIGNMENT, ENVIRONMENT, CREDENTIAL, CONFIG, N_SOURCES };
    const char *const names[] = {row->alias, row->name}; // at each source the alias wins
    struct param_text found = {0};
    for (int source = sources->file_only ? CONFIG : ASSIGNMENT; source < N_SOURCES; source++) {
        for (int i = 0; i < 2; i++) {
            int r = 0;
            if (!names[i])
                continue;
            if (source == ASSIGNMENT)
                r = find_assignment(&found, names[i], sources);
            else if (source == ENVIRONMENT)
                r = find_environment(&found, row, names[i], problems);
            else if (source == CREDENTIAL)
                r = find_credential(&found, names[i], problems);
            else
                r = find_config(&found, names[i], sources);
            if (r < 0)
                return r;
            if (found.text) {
                *ret_text = found;
                return 0;
            }
        }
    }
    *ret_text = found;
    return 0;
}
