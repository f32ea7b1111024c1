// Class folders: one folder a class, JPEG and PNG files in it. Folders inside a class
// folder are not entered, hidden entries and other files are passed over.
#include "runtime/reader_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <strings.h>
#include <unistd.h>

static bool claims(const struct reader_options *o, const struct stat *st) {
    (void)o;
    return S_ISDIR(st->st_mode);
}

// ---- listing a folder ---------------------------------------------------------------
static bool is_image(const char *name) {
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < COUNT(endings); i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}

// Through links; a link that leads nowhere is no folder.
static bool is_folder(int folder, const struct dirent *e) {
    struct stat st;
    if (e->d_type != DT_LNK && e->d_type != DT_UNKNOWN) return e->d_type == DT_DIR;
    return fstatat(folder, e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

struct listing { // what a folder holds, hidden entries aside
    struct names folders, images;
    size_t others; // files that are no images
};

static void listing_free(struct listing *l) {
    names_free(&l->folders);
    names_free(&l->images);
}

static bool list_entry(int folder, const struct dirent *e, struct listing *l) {
    if (e->d_name[0] == '.') return true;
    if (is_folder(folder, e)) return name_list_add(&l->folders, e->d_name, NULL);
    if (is_image(e->d_name)) return name_list_add(&l->images, e->d_name, NULL);
    l->others++;
    return true;
}

// Returns 0 or an errno. On failure there is nothing to free.
static int list_folder(int at, const char *path, struct listing *l) {
    *l = (struct listing){0};
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return ENOMEM;
    }
    int err = 0;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(dir);
        if (!e && errno) err = errno;
        if (!e) break;
        if (list_entry(fd, e, l)) continue;
        err = ENOMEM;
        break;
    }
    closedir(dir);
    if (err) listing_free(l);
    return err;
}

// ---- listing the rows ---------------------------------------------------------------
static bool no_images(const struct reader_options *o, const char *cls,
                      const struct listing *l, struct diags *d) {
    diag_error(d, o->span,
               "class `%s` has no images: nothing in `%s/%s` is a JPEG or PNG "
               "file",
               cls, o->path, cls);
    if (l->folders.count)
        diag_help(d,
                  "folders inside a class folder are not entered; if `%s` is no class, "
                  "name the folder whose folders are the classes",
                  cls);
    else if (l->others)
        diag_help(d, "files whose names end in .jpg, .jpeg or .png are read");
    return false;
}

static bool add_images(struct reader *r, const struct listing *l, size_t limit) {
    const char **files = names_sorted(&l->images);
    bool ok = files != NULL;
    for (size_t i = 0; ok && i < l->images.count && i < limit; i++) {
        size_t offset;
        struct reader_row row = {.cls = (uint32_t)r->nclasses - 1};
        ok = name_list_add(&r->names, files[i], &offset);
        row.file = offset;
        ok = ok && reader_add_row(r, row);
    }
    mem_free(files);
    return ok;
}

static bool list_class(struct reader *r, const char *cls, const struct reader_options *o,
                       struct diags *d) {
    struct listing l;
    int err = list_folder(r->root, cls, &l);
    d->no_memory |= err == ENOMEM;
    if (err)
        return diag_error(d, o->span, "cannot read `%s/%s`: %s", o->path, cls,
                          strerror(err));
    bool ok = true;
    if (l.images.count == 0) ok = no_images(o, cls, &l, d);
    else if (!reader_add_class(r, cls) || !add_images(r, &l, o->limit))
        ok = reader_no_memory(o, d);
    listing_free(&l);
    return ok;
}

static bool no_classes(const struct reader_options *o, const struct listing *l,
                       struct diags *d) {
    diag_error(d, o->span, "`%s` has no class folders", o->path);
    diag_help(d, l->images.count
                     ? "move the images of each class into a folder of its own"
                     : "expected one folder of JPEG and PNG files a class, or "
                       "CIFAR-10's data_batch_*.bin");
    return false;
}

// All classes without images are told, not only the first.
static bool list_classes(struct reader *r, const struct listing *l,
                         const struct reader_options *o, struct diags *d) {
    if (l->folders.count == 0) return no_classes(o, l, d);
    if (l->folders.count > UINT32_MAX / 2)
        return diag_error(d, o->span, "`%s` has too many folders", o->path);
    const char **classes = names_sorted(&l->folders);
    if (!classes) return reader_no_memory(o, d);
    bool ok = true;
    for (size_t i = 0; i < l->folders.count; i++) ok &= list_class(r, classes[i], o, d);
    mem_free(classes);
    return ok;
}

static bool list(struct reader *r, const struct reader_options *o, struct diags *d) {
    struct listing l;
    r->root = open(o->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = r->root < 0 ? errno : list_folder(r->root, ".", &l);
    d->no_memory |= err == ENOMEM;
    if (err)
        return diag_error(d, o->span, "cannot read `%s`: %s", o->path, strerror(err));
    bool ok = list_classes(r, &l, o, d);
    listing_free(&l);
    return ok;
}

// ---- one row ------------------------------------------------------------------------
static void name(const struct reader *r, const struct reader_row *row, char *out,
                 size_t n) {
    snprintf(out, n, "%s/%s", reader_class_name(r, row->cls), r->names.at + row->file);
}

static bool read_file(const struct reader *r, struct decoder *d,
                      const struct reader_row *row, struct why why) {
    char path[2 * NAME_MAX + 2]; // a folder's name and a file's
    struct stat st;
    name(r, row, path, sizeof path);
    int fd = reader_open_file(r->root, path, &st, why);
    if (fd < 0) return false;
    bool ok;
    if (st.st_size < 0 || (uintmax_t)st.st_size > READER_MAX_FILE)
        ok = why_set(why, "the file is larger than %zu MiB", READER_MAX_FILE >> 20);
    else ok = decoder_read(d, fd, 0, (size_t)st.st_size, why);
    close(fd);
    return ok;
}

static bool load(const struct reader *r, struct decoder *d, const struct reader_row *row,
                 uint8_t *pixels, struct digest *content, struct why why) {
    if (!read_file(r, d, row, why)) return false;
    *content = digest_of(d->bytes, d->n);
    if (!pixels) return true;
    struct image image;
    if (!image_decode_why(d->bytes, d->n, &image, why)) return false;
    bool ok = image_fit(&image, r->size, pixels);
    mem_free(image.data);
    return ok || why_no_memory(why, "out of memory to resize it");
}

static bool look(const struct reader *r, const struct reader_row *row, struct look *out) {
    char path[2 * NAME_MAX + 2];
    name(r, row, path, sizeof path);
    clock_gettime(CLOCK_REALTIME, &out->when);
    if (fstatat(r->root, path, &out->st, 0) != 0) return false;
    out->at = 0;
    out->n = (uint64_t)out->st.st_size;
    return true;
}

const struct reader_format reader_folder = {claims, list, load, name, look};
