// The folder that `save` writes for images: PNG files, labels.npy, manifest.json,
// overview.png.
//
// Everything goes into a new folder beside the target; result_commit puts it in place in
// one step (exchanging it with an older result), so that a killed run leaves the old
// result or the new one. A target that holds something other than an older result of ddg
// is an error; files that were added to an older result are carried over. Rows arrive in
// order.
#ifndef DDG_RESULT_H
#define DDG_RESULT_H

#include "runtime/base/diag.h"

struct result_field { // one entry of the manifest's "params", "seeds" or "model"
    const char *group, *name;
    const char *json; // the value, as JSON text
};

struct result_info {
    const char *to;
    size_t height, width; // of the images, 3 channels
    size_t classes;       // folders 00000 ...
    const char *const *class_names;
    size_t labels; // K; 0: no labels.npy
    const struct result_field *fields;
    size_t nfields;
    const char *version;
};

struct result_origin { // where one part of an image came from
    const char *file;  // relative to the reader's path
    uint32_t box[4];   // top, left, height, width in pixels of the image as it was read
};

struct result_row {
    uint32_t cls;
    const uint8_t *pixels; // [3][height][width]
    const float *labels;   // [K] or NULL
    const struct result_origin *origins;
    size_t norigins;
};

struct result_source { // for the overview: an image the result was made from
    uint32_t cls;
    const uint8_t *pixels; // [3][h][w]
    size_t h, w;
    const float *map; // [mh][mw], or NULL
    size_t mh, mw;
};

#define RESULT_OVERVIEW_ROWS    10 // distilled images shown of each class
#define RESULT_OVERVIEW_SOURCES 4  // source images, each beside its map

struct result;
struct result *result_begin(const struct result_info *info,
                            struct diags *d); // NULL: said
// Labels that are no numbers would spoil every training that uses them, unseen. False:
// said of `what`.
bool result_check_labels(const float *labels, size_t n, const char *what,
                         struct diags *d);
bool result_add(struct result *r, const struct result_row *row, struct diags *d);
// True while the overview still has room for a source image of this class, and has not
// been given many.
bool result_wants_source(const struct result *r, uint32_t cls);
bool result_add_source(struct result *r,
                       const struct result_source *s); // false: no memory
bool result_commit(struct result *r, struct diags *d); // frees r
void result_abandon(struct result *r);                 // frees r, leaves nothing behind

#endif
