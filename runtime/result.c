// The folder of a result, written as rows arrive: each image a file, each row's labels
// and its line of the manifest appended. Nothing is in place before result_commit.
#include "runtime/image.h"
#include "runtime/json.h"
#include "runtime/npy.h"
#include "runtime/result_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define NPY_HEADER 128 // bytes, for two axes of any length

struct result {
    struct arena *arena; // what info pointed to
    struct out_place place;
    size_t height, width, labels, classes;
    int folder; // the temporary one
    FILE *manifest, *label_file;
    size_t *images; // of each class so far
    size_t rows;
    struct overview *overview;
};

void result_class_folder(char out[RESULT_NAME_MAX], size_t cls) {
    snprintf(out, RESULT_NAME_MAX, "%05u", (unsigned)cls);
}

void result_image_name(char out[RESULT_NAME_MAX], size_t cls, size_t id) {
    snprintf(out, RESULT_NAME_MAX, "%05u/class%05u_id%05u.png", (unsigned)cls,
             (unsigned)cls, (unsigned)id);
}

static bool failed(const struct result *r, const char *file, struct diags *d) {
    d->no_memory |= errno == ENOMEM;
    return diag_error(d, NO_SPAN, "cannot write `%s` of `%s`: %s", file, r->place.path,
                      strerror(errno));
}

// ---- manifest -----------------------------------------------------------------------
// One group of fields, when `first` is the first of its group.
static void write_group(FILE *f, struct arena *a, const struct result_info *info,
                        size_t first) {
    const char *group = info->fields[first].group, *comma = "";
    for (size_t i = 0; i < first; i++)
        if (strcmp(info->fields[i].group, group) == 0) return;
    fprintf(f, "  %s: {", json_string(a, group));
    for (size_t i = first; i < info->nfields; i++) {
        const struct result_field *x = &info->fields[i];
        if (strcmp(x->group, group) != 0) continue;
        fprintf(f, "%s\n    %s: %s", comma, json_string(a, x->name), x->json);
        comma = ",";
    }
    fputs("\n  },\n", f);
}

static void write_manifest_head(struct result *r, const struct result_info *info) {
    FILE *f = r->manifest;
    fprintf(f,
            "{\n  \"format\": \"" RESULT_FORMAT
            "\",\n  \"version\": %s,\n  \"classes\": [",
            json_string(r->arena, info->version));
    for (size_t i = 0; i < info->classes; i++)
        fprintf(f, "%s%s", i ? ", " : "", json_string(r->arena, info->class_names[i]));
    fputs("],\n", f);
    for (size_t i = 0; i < info->nfields; i++) write_group(f, r->arena, info, i);
    fputs("  \"images\": [", f);
}

static void write_manifest_row(FILE *f, struct arena *a, const struct result_row *row,
                               const char *file, bool first) {
    fprintf(f, "%s\n    {\"file\": \"%s\", \"class\": %u, \"origins\": [",
            first ? "" : ",", file, row->cls);
    for (size_t i = 0; i < row->norigins; i++) {
        const struct result_origin *o = &row->origins[i];
        fprintf(f, "%s{\"file\": %s, \"box\": [%u, %u, %u, %u]}", i ? ", " : "",
                json_string(a, o->file), o->box[0], o->box[1], o->box[2], o->box[3]);
    }
    fputs("]}", f);
}

// ---- beginning ----------------------------------------------------------------------
static FILE *create(int folder, const char *name) {
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f && fd >= 0) close(fd);
    return f;
}

static bool begin_files(struct result *r, const struct result_info *info,
                        struct diags *d) {
    static const char zeros[NPY_HEADER];
    r->overview = overview_new(info);
    if (!r->overview) errno = ENOMEM;
    if (!r->overview) return failed(r, RESULT_OVERVIEW, d);
    r->manifest = create(r->folder, RESULT_PART);
    if (!r->manifest) return failed(r, RESULT_MANIFEST, d);
    write_manifest_head(r, info);
    if (!r->labels) return true;
    r->label_file = create(r->folder, RESULT_LABELS);
    if (!r->label_file || fwrite(zeros, 1, NPY_HEADER, r->label_file) != NPY_HEADER)
        return failed(r, RESULT_LABELS, d);
    return true;
}

static bool begin_place(struct result *r, const char *to, struct diags *d) {
    if (!out_place_open(r->arena, to, &r->place, d)) return false;
    result_sweep(&r->place, d);
    if (result_place_free(&r->place, d)) r->folder = result_temp_make(&r->place, d);
    if (r->folder >= 0) return true;
    out_place_undo(&r->place);
    return false;
}

static void abandon(void *r) {
    result_abandon(r);
}

struct result *result_begin(const struct result_info *info, struct diags *d) {
    CHECK(info->height > 0 && info->width > 0);
    struct arena *a = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, a);
    struct result *r = NEW(a, struct result);
    *r = (struct result){.arena = a,
                         .height = info->height,
                         .width = info->width,
                         .labels = info->labels,
                         .classes = info->classes,
                         .folder = -1};
    r->images = NEW_N(a, size_t, info->classes);
    bool placed = begin_place(r, info->to, d);
    cleanup_pop(&held);
    if (!placed) {
        arena_free(a);
        return NULL;
    }
    cleanup_push(&held, abandon, r);
    bool begun = begin_files(r, info, d);
    cleanup_pop(&held);
    if (begun) return r;
    result_abandon(r);
    return NULL;
}

// ---- rows ---------------------------------------------------------------------------
static bool write_image(struct result *r, const struct result_row *row, const char *file,
                        struct diags *d) {
    char folder[RESULT_NAME_MAX];
    result_class_folder(folder, row->cls);
    if (r->images[row->cls] == 0 && mkdirat(r->folder, folder, 0777) != 0)
        return failed(r, folder, d);
    size_t n;
    uint8_t *png = image_encode_png(row->pixels, 3, r->height, r->width, &n);
    if (!png) errno = ENOMEM;
    bool ok = png && out_file(r->folder, file, png, n);
    if (!ok) failed(r, file, d);
    mem_free(png);
    return ok;
}

bool result_check_labels(const float *labels, size_t n, const char *what,
                         struct diags *d) {
    for (size_t i = 0; i < n; i++) {
        if (isfinite(labels[i])) continue;
        diag_error(d, NO_SPAN, "the soft label of class %zu of `%s` is %s", i, what,
                   isnan(labels[i]) ? "not a number" : "infinite");
        return diag_help(d, "the model's values overflow on this image");
    }
    return true;
}

static bool write_labels(struct result *r, const float *labels, struct diags *d) {
    if (!labels || fwrite(labels, sizeof *labels, r->labels, r->label_file) == r->labels)
        return true;
    return failed(r, RESULT_LABELS, d);
}

static bool write_line(struct result *r, const struct result_row *row, const char *file,
                       struct diags *d) {
    struct arena *a = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, a);
    write_manifest_row(r->manifest, a, row, file, r->rows == 0);
    cleanup_run(&held);
    return !ferror(r->manifest) || failed(r, RESULT_MANIFEST, d);
}

bool result_add(struct result *r, const struct result_row *row, struct diags *d) {
    CHECK(row->cls < r->classes);
    char file[RESULT_NAME_MAX];
    result_image_name(file, row->cls, r->images[row->cls]);
    CHECK((row->labels != NULL) == (r->labels > 0));
    if (!result_check_labels(row->labels, r->labels, file, d) ||
        !write_image(r, row, file, d) || !write_labels(r, row->labels, d) ||
        !write_line(r, row, file, d))
        return false;
    if (!overview_add(r->overview, row->cls, row->pixels))
        return diag_no_memory(d, NO_SPAN);
    r->images[row->cls]++;
    r->rows++;
    return true;
}

bool result_wants_source(const struct result *r, uint32_t cls) {
    return overview_wants_source(r->overview, cls);
}

bool result_add_source(struct result *r, const struct result_source *s) {
    return overview_add_source(r->overview, s);
}

// ---- the end ------------------------------------------------------------------------
static bool finish(FILE **file) {
    FILE *f = *file;
    *file = NULL;
    bool ok = fflush(f) == 0 && !ferror(f);
    int err = errno;
    if (fclose(f) != 0 && ok) return false;
    errno = err;
    return ok;
}

// The header comes last: only now the number of rows is known.
static bool finish_labels(struct result *r, struct diags *d) {
    if (!r->label_file) return true;
    struct text header = {.arena = r->arena};
    npy_header(&header, NPY_F32, 2, (size_t[]){r->rows, r->labels});
    CHECK(header.n == NPY_HEADER);
    if (fseek(r->label_file, 0, SEEK_SET) != 0 ||
        fwrite(header.at, 1, header.n, r->label_file) != header.n)
        return failed(r, RESULT_LABELS, d);
    return finish(&r->label_file) || failed(r, RESULT_LABELS, d);
}

static bool finish_overview(struct result *r, struct diags *d) {
    size_t n;
    uint8_t *png = overview_png(r->overview, &n);
    if (!png) errno = ENOMEM;
    bool ok = png && out_file(r->folder, RESULT_OVERVIEW, png, n);
    if (!ok) failed(r, RESULT_OVERVIEW, d);
    mem_free(png);
    return ok;
}

static bool finish_manifest(struct result *r, struct diags *d) {
    fputs(r->rows ? "\n  ]\n}\n" : "]\n}\n", r->manifest);
    bool ok = finish(&r->manifest) &&
              renameat(r->folder, RESULT_PART, r->folder, RESULT_MANIFEST) == 0;
    return ok || failed(r, RESULT_MANIFEST, d);
}

static bool sync_one(const struct result *r, const char *name, struct diags *d) {
    int fd = openat(r->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok) failed(r, name, d);
    if (fd >= 0) close(fd);
    return ok;
}

// All files are written before the first is waited for, so that the disk works in bulk.
static bool sync_all(const struct result *r, struct diags *d) {
    char name[RESULT_NAME_MAX];
    for (size_t c = 0; c < r->classes; c++) {
        for (size_t i = 0; i < r->images[c]; i++) {
            result_image_name(name, c, i);
            if (!sync_one(r, name, d)) return false;
        }
        result_class_folder(name, c);
        if (r->images[c] && !sync_one(r, name, d)) return false;
    }
    return (!r->labels || sync_one(r, RESULT_LABELS, d)) &&
           sync_one(r, RESULT_OVERVIEW, d) && sync_one(r, RESULT_MANIFEST, d) &&
           sync_one(r, ".", d);
}

static void free_result(struct result *r) {
    if (r->manifest) fclose(r->manifest);
    if (r->label_file) fclose(r->label_file);
    if (r->folder >= 0) close(r->folder);
    overview_free(r->overview);
    arena_free(r->arena);
}

bool result_commit(struct result *r, struct diags *d) {
    struct cleanup held;
    cleanup_push(&held, abandon, r);
    bool ok = finish_labels(r, d) && finish_overview(r, d) && finish_manifest(r, d) &&
              sync_all(r, d) && result_place(&r->place, d);
    cleanup_pop(&held);
    if (ok) free_result(r);
    else result_abandon(r);
    return ok;
}

void result_abandon(struct result *r) {
    if (!r) return;
    result_temp_remove(&r->place);
    out_place_undo(&r->place);
    free_result(r);
}
