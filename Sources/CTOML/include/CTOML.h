// TOML 1.0 (https://toml.io/en/v1.0.0), read by toml++ (Debian: libtomlplusplus-dev), as a flat list of what is in it. No
// files and no state; what it is given must have passed the checks of PeerTOML (length, UTF-8, depth), which calls it.
#ifndef CTOML_H
#define CTOML_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ctoml_kind {
    ctoml_text,
    ctoml_number,
    /// A number with a point or an exponent, inf, nan: told apart, not read.
    ctoml_fraction,
    ctoml_flag,
    ctoml_list,
    ctoml_table,
    /// A date, a time or both: told apart, not read.
    ctoml_date,
};

/// A value, and behind it in the list what it contains. Texts are UTF-8 with any character, NUL too, and belong to the
/// document.
struct ctoml_item {
    enum ctoml_kind kind;
    /// Where its key stands, and in a list the value itself; both count from 1, columns in characters.
    uint32_t line, column;
    /// Its name in the table that it belongs to; NULL in a list, and for the whole document.
    const char *key;
    size_t key_count;
    const char *text;
    size_t text_count;
    /// Of a number, and 0 or 1 of a flag.
    int64_t number;
    /// How many entries a list or a table has.
    size_t entries;
};

struct ctoml_document;

/// NULL when there is no memory. A text that is no TOML is a document with a fault and without items.
struct ctoml_document *ctoml_parse(const char *text, size_t count);
void ctoml_free(struct ctoml_document *document);

/// What is wrong first, in the library's words, which may repeat any of the text; NULL when nothing is. Line and column
/// are 0 where they are not known.
const char *ctoml_fault(const struct ctoml_document *document, size_t *count, uint32_t *line, uint32_t *column);

size_t ctoml_count(const struct ctoml_document *document);
/// The first one is the table that is the whole document; each is followed by its entries, and theirs.
struct ctoml_item ctoml_at(const struct ctoml_document *document, size_t index);

#ifdef __cplusplus
}
#endif

#endif
