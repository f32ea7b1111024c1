// Any bytes are a program that is read to an end, with an error or a graph that verifies.
//
// With libFuzzer (clang):
//     clang-19 -fsanitize=fuzzer,address,undefined ... tests/fuzz/fuzz_program.c
//     ./fuzz_program -dict=tests/fuzz/program.dict corpus tests/cases/check
// With -DFUZZ_FILES it is a command that takes the files to run, for what was found.
// Lines in front that start with "-D " are given as on the command line.
#include <sys/mman.h>
#include <unistd.h>

#include "frontend/frontend.h"
#include "ir/text.h"

#define MAX_DEFINES 4

struct input {
    const char *defines[MAX_DEFINES];
    size_t ndefines;
    const char *text;
    size_t n;
};

// Cuts the leading -D lines off.
static struct input split(struct arena *a, const char *data, size_t n) {
    struct input in = {.text = data, .n = n};
    while (in.ndefines < MAX_DEFINES && in.n > 3 && memcmp(in.text, "-D ", 3) == 0) {
        const char *end = memchr(in.text, '\n', in.n);
        size_t line = end ? (size_t)(end - in.text) : in.n;
        in.defines[in.ndefines++] = arena_strndup(a, in.text + 3, line - 3);
        size_t used = size_min(line + 1, in.n);
        in.text += used;
        in.n -= used;
    }
    return in;
}

static void check_result(struct arena *a, const struct program *p, struct diags *d) {
    CHECK((p != NULL) == (d->errors == 0));
    struct text why = {.arena = a}, out = {.arena = a};
    if (p && !ir_verify(p->graph, FAMILY_PIPELINE, &why)) BUG("%s", why.at);
    if (p) ir_print(p->graph, &out);
    FILE *null = fopen("/dev/null", "w");
    if (!null) return;
    diags_print(d, null, true);
    fclose(null);
}

static void run(struct arena *a, const struct input *in, const char *path) {
    struct diags d;
    diags_init(&d, a);
    struct program_options o = {
        .path = path, .defines = in->defines, .ndefines = in->ndefines};
    check_result(a, program_load(a, &o, &d), &d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena *a = arena_new();
    int fd = memfd_create("program", MFD_CLOEXEC);
    CHECK(a && fd >= 0);
    struct input in = split(a, (const char *)data, n);
    if (write(fd, in.text, in.n) == (ssize_t)in.n)
        run(a, &in, arena_printf(a, "/proc/self/fd/%d", fd));
    close(fd);
    arena_free(a);
    return 0;
}

#ifdef FUZZ_FILES
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct arena *a = arena_new();
        size_t n;
        const char *data = a ? file_read(a, argv[i], SIZE_MAX / 2, &n) : NULL;
        if (data) LLVMFuzzerTestOneInput((const uint8_t *)data, n);
        else fprintf(stderr, "%s: cannot be read\n", argv[i]);
        arena_free(a);
    }
    return 0;
}
#endif
