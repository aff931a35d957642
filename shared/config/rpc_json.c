#include "config/rpc_json.h"

#include <stdlib.h>
#include <string.h>

#include "config/rpc_id.h"

json_t *rpc_parse(const char *body, size_t len)
{
    // jansson takes a NUL after a number for white space (RFC 8259 knows no such white space).
    if (body == NULL || memchr(body, '\0', len) != NULL)
        return NULL;
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    size_t text_len = 0;
    char *text = root == NULL ? rpc_ids_as_text(body, len, &text_len) : NULL;
    if (text != NULL)
        root = json_loadb(text, text_len, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (json_is_object(root) || json_array_size(root) > 0)
        return root;
    json_decref(root);
    return NULL;
}

size_t rpc_count(const json_t *root)
{
    return json_is_array(root) ? json_array_size(root) : 1;
}

const json_t *rpc_at(const json_t *root, size_t i)
{
    return json_is_array(root) ? json_array_get(root, i) : root;
}
