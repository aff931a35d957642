#include "target.h"

#include <string.h>
#include <strings.h>

const char *const target_verdict_names[TARGET_VERDICTS] = {
    [TARGET_OK] = "ok",
    [TARGET_BAD_FORM] = "target_form",
    [TARGET_BAD_AUTHORITY] = "target_authority",
    [TARGET_BAD_ESCAPE] = "target_escape",
    [TARGET_BAD_CHARACTER] = "target_character",
    [TARGET_ENCODED_SLASH] = "target_encoded_slash",
    [TARGET_DOT_SEGMENT] = "target_dot_segment",
};

const char *const target_verdict_details[TARGET_VERDICTS] = {
    [TARGET_OK] = "",
    [TARGET_BAD_FORM] = "The request target must begin with '/'.",
    [TARGET_BAD_AUTHORITY] = "An absolute request target must name the same host as Host does.",
    [TARGET_BAD_ESCAPE] = "Every '%' in the path must be followed by two hexadecimal digits.",
    [TARGET_BAD_CHARACTER] = "The target must not contain controls, blanks, '\\' or a fragment.",
    [TARGET_ENCODED_SLASH] = "The path must not contain an encoded slash or backslash.",
    [TARGET_DOT_SEGMENT] = "The path must not contain '..' segments.",
};

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static bool is_refused(unsigned char c)
{
    return c <= ' ' || c == 0x7f || c == '\\' || c == '#';
}

// Decodes one escape at raw[i] into the path.
static enum target_verdict put_escape(const char *raw, size_t left, char *path, size_t *length)
{
    static const char digits[] = "0123456789ABCDEF";
    int high = left > 2 ? hex_value((unsigned char)raw[1]) : -1;
    int low = left > 2 ? hex_value((unsigned char)raw[2]) : -1;
    if (high < 0 || low < 0) {
        return TARGET_BAD_ESCAPE;
    }
    unsigned char c = (unsigned char)(high * 16 + low);
    if (c == '/' || c == '\\') {
        return TARGET_ENCODED_SLASH;
    }
    if (c < ' ' || c == 0x7f) {
        return TARGET_BAD_CHARACTER;
    }
    if (is_unreserved(c)) {
        path[(*length)++] = (char)c;
    } else {
        path[(*length)++] = '%';
        path[(*length)++] = digits[high];
        path[(*length)++] = digits[low];
    }
    return TARGET_OK;
}

// Judges the segment path[start..*length) that has just become complete; takes it back when it says
// nothing. "..;x" counts as "..": some servers drop path parameters before they resolve dots.
static enum target_verdict end_segment(const char *path, size_t start, size_t *length)
{
    size_t len = *length - start;
    const char *parameter = memchr(path + start, ';', len);
    size_t bare = parameter == NULL ? len : (size_t)(parameter - (path + start));
    if (bare == 2 && path[start] == '.' && path[start + 1] == '.') {
        return TARGET_DOT_SEGMENT;
    }
    if (bare == 1 && path[start] == '.') {
        *length = start;
    }
    return TARGET_OK;
}

static enum target_verdict put_path(const char *raw, size_t len, char *path, size_t *ret_len)
{
    size_t length = 0;
    path[length++] = '/';
    size_t start = length; // of the segment being written
    for (size_t i = 1; i <= len; i++) {
        enum target_verdict verdict = TARGET_OK;
        if (i == len || raw[i] == '/') {
            verdict = end_segment(path, start, &length);
            if (verdict == TARGET_OK && i < len && path[length - 1] != '/') {
                path[length++] = '/';
            }
            start = length;
        } else if (raw[i] == '%') {
            verdict = put_escape(raw + i, len - i, path, &length);
            i += 2;
        } else if (is_refused((unsigned char)raw[i])) {
            verdict = TARGET_BAD_CHARACTER;
        } else {
            path[length++] = raw[i];
        }
        if (verdict != TARGET_OK) {
            return verdict;
        }
    }
    path[length] = '\0';
    *ret_len = length;
    return TARGET_OK;
}

// The scheme and authority of an absolute-form target; sets *ret_skip to where the path begins.
static enum target_verdict check_authority(const char *raw, size_t len, const char *host,
                                           size_t *ret_skip)
{
    size_t scheme = 0;
    if (len > 7 && strncasecmp(raw, "http://", 7) == 0) {
        scheme = 7;
    } else if (len > 8 && strncasecmp(raw, "https://", 8) == 0) {
        scheme = 8;
    } else {
        return TARGET_BAD_FORM;
    }
    size_t end = scheme;
    while (end < len && raw[end] != '/' && raw[end] != '?' && raw[end] != '#') {
        end++;
    }
    if (end < len && raw[end] == '#') {
        return TARGET_BAD_CHARACTER;
    }
    size_t authority = end - scheme;
    if (authority == 0 || memchr(raw + scheme, '@', authority) != NULL ||
        authority != strlen(host) || strncasecmp(raw + scheme, host, authority) != 0) {
        return TARGET_BAD_AUTHORITY;
    }
    *ret_skip = end;
    return TARGET_OK;
}

enum target_verdict target_normalize(const char *raw, size_t raw_len, const char *method,
                                     const char *host, char *path, struct target *ret_target)
{
    if (raw_len == 1 && raw[0] == '*') {
        if (strcmp(method, "OPTIONS") != 0) {
            return TARGET_BAD_FORM;
        }
        memcpy(path, "*", 2);
        *ret_target = (struct target){.path_len = 1, .query_offset = raw_len, .asterisk = true};
        return TARGET_OK;
    }
    size_t skip = 0;
    if (raw_len == 0 || raw[0] != '/') {
        enum target_verdict verdict = check_authority(raw, raw_len, host, &skip);
        if (verdict != TARGET_OK) {
            return verdict;
        }
    }
    size_t end = skip;
    while (end < raw_len && raw[end] != '?') {
        end++;
    }
    struct target target = {.query_offset = end < raw_len ? end + 1 : raw_len};
    for (size_t i = target.query_offset; i < raw_len; i++) {
        if (is_refused((unsigned char)raw[i]) && raw[i] != '\\') {
            return TARGET_BAD_CHARACTER;
        }
    }
    if (end == skip) { // http://host and http://host?query
        memcpy(path, "/", 2);
        target.path_len = 1;
    } else {
        enum target_verdict verdict = put_path(raw + skip, end - skip, path, &target.path_len);
        if (verdict != TARGET_OK) {
            return verdict;
        }
    }
    *ret_target = target;
    return TARGET_OK;
}
