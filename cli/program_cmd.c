// Commands that look at a program and run nothing: dump, ops.
#include "cli/options.h"
#include "cli/points.h"
#include "cli/reference.h"

// ---- dump ----------------------------------------------------------------------------
static void print_module(const struct driver *v) {
    struct text t = {.arena = v->arena};
    module_print(&v->module, &t);
    fwrite(t.at, 1, t.n, stdout);
}

static bool dump_graph(struct driver *v) {
    v->module = (struct module){.arena = v->arena, .graph = v->program->graph};
    print_module(v);
    return true;
}

static bool dump_module(struct driver *v, const char *last) {
    if (!driver_lower(v, last)) return false;
    print_module(v);
    return true;
}

static bool dump_code(struct driver *v, enum codegen_text what) {
    if (!driver_lower(v, NULL) || !driver_codegen(v)) return false;
    const char *text = codegen_text(v->codegen, what, v->arena, &v->d);
    if (text) fputs(text, stdout);
    return text != NULL;
}

static bool dump_act(void *after, struct driver *v) {
    const char *stage = after;
    if (strcmp(stage, "llvm") != 0 && strcmp(stage, "asm") != 0)
        return dump_module(v, stage);
    return dump_code(v, strcmp(stage, "asm") ? CODEGEN_LLVM : CODEGEN_ASM);
}

static bool is_pass(const char *name) {
    for (const struct pass *p = passes; p->name; p++)
        if (!strcmp(p->name, name)) return true;
    return false;
}

void list_dump_stages(FILE *to) {
    fputs("  graph        the checked pipeline graph\n", to);
    for (const struct pass *p = passes; p->name; p++)
        fprintf(to, "  %-12s %s\n", p->name, p->summary);
    fputs("  llvm         the kernels as LLVM IR\n"
          "  asm          the kernels as assembly\n",
          to);
}

static int dump(const struct points *points, char *after, struct arena *arena) {
    struct driver v;
    point_driver(points, 0, arena, &v);
    bool ok = driver_load(&v);
    if (ok && !strcmp(after, "graph")) ok = dump_graph(&v);
    else if (ok) ok = driver_each_act(&v, dump_act, after);
    return driver_end(&v, ok);
}

int command_dump(const struct args *a, struct arena *arena) {
    const char *after = a->after ? a->after : "graph";
    if (strcmp(after, "graph") != 0 && strcmp(after, "llvm") != 0 &&
        strcmp(after, "asm") != 0 && !is_pass(after)) {
        fprintf(stderr, "ddg: there is no stage `%s`; the stages are\n", after);
        list_dump_stages(stderr);
        return EXIT_USAGE;
    }
    struct points points;
    if (!points_open(a, arena, &points)) return EXIT_WRONG;
    int code = points_single(&points, "dump");
    return code == EXIT_DONE ? dump(&points, arena_strdup(arena, after), arena) : code;
}

// ---- ops -----------------------------------------------------------------------------
int command_ops(const struct args *a, struct arena *arena) {
    (void)arena;
    const char *near = NULL, *name = a->operands[0];
    if (!name) reference_list(stdout);
    else if (!reference_op(name, stdout, &near)) {
        fprintf(stderr, "ddg: there is no op `%s`", name);
        if (near) fprintf(stderr, "; did you mean `%s`?", near);
        fputc('\n', stderr);
        return EXIT_WRONG;
    }
    return EXIT_DONE;
}
