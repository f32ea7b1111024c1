// Kernels as one block of machine code that runs wherever it is mapped.
//
// LLVM gives an ELF object a unit of kernels. All references in it are relative to the
// instruction and stay inside of the object (constants, tables), so a block in which
// every section has its place needs nothing from whoever maps it: no symbols, no
// relocations, no data that is written. Order and padding follow from the order in which
// kernels were asked for alone.
//
//     [code of unit 0][code of unit 1] ... [constants of unit 0] ...
//
// LLVM's own linkers do not serve here: they bind code to the addresses it will have.
// What comes from LLVM is trusted to be an object, but each offset is checked before it
// is used, and what this file does not know is a bug and never a wrong image.
#include "codegen/compile.h"
#include "codegen/refer.h"

#include <elf.h>
#include <limits.h>

// The linker in memory begins every kernel at a page; a line of the cache is as good.
#define CODE_ALIGN 64

// ---- objects -------------------------------------------------------------------------

struct object {
    const char *name; // of its first kernel
    const char *bytes;
    size_t n;
    uint16_t machine; // EM_X86_64, EM_AARCH64
    const Elf64_Shdr *sections;
    size_t nsections;
    const Elf64_Sym *symbols;
    size_t nsymbols;
    const Elf64_Shdr *strings; // the names of symbols
    size_t *place;             // by section: where it lies in the image, or NOWHERE
};

#define NOWHERE SIZE_MAX

// count elements of size bytes (a power of two, or a struct of 8-byte fields) at offset.
static const void *within(const struct object *o, size_t offset, size_t count,
                          size_t size) {
    if (offset > o->n || count > (o->n - offset) / size)
        BUG("the object of `%s` ends before what it says it holds", o->name);
    const char *p = o->bytes + offset;
    CHECK(size == 1 || (uintptr_t)p % 8 == 0);
    return p;
}

static const Elf64_Shdr *section_at(const struct object *o, size_t i) {
    if (i >= o->nsections) BUG("the object of `%s` has no section %zu", o->name, i);
    return &o->sections[i];
}

static const Elf64_Sym *symbol_at(const struct object *o, size_t i) {
    if (i >= o->nsymbols) BUG("the object of `%s` has no symbol %zu", o->name, i);
    return &o->symbols[i];
}

static const char *symbol_name(const struct object *o, const Elf64_Sym *s) {
    const char *names = within(o, o->strings->sh_offset, o->strings->sh_size, 1);
    if (s->st_name >= o->strings->sh_size ||
        !memchr(names + s->st_name, 0, o->strings->sh_size - s->st_name))
        BUG("the object of `%s` has a symbol without a name", o->name);
    return names + s->st_name;
}

static void find_symbols(struct object *o) {
    for (size_t i = 0; i < o->nsections; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        if (s->sh_type != SHT_SYMTAB) continue;
        o->nsymbols = s->sh_size / sizeof(Elf64_Sym);
        o->symbols = within(o, s->sh_offset, o->nsymbols, sizeof(Elf64_Sym));
        o->strings = section_at(o, s->sh_link);
    }
    CHECK(o->symbols);
}

static struct object object_of(struct arena *arena, const struct codegen *cg,
                               const struct unit *u) {
    struct object o = {.name = cg->entries.at[u->entries.at[0]].symbol,
                       .bytes = LLVMGetBufferStart(u->object),
                       .n = LLVMGetBufferSize(u->object)};
    const Elf64_Ehdr *head = within(&o, 0, 1, sizeof *head);
    CHECK(memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 && head->e_type == ET_REL &&
          refer_knows(head->e_machine) && head->e_shentsize == sizeof(Elf64_Shdr));
    o.machine = head->e_machine;
    o.nsections = head->e_shnum;
    o.sections = within(&o, head->e_shoff, o.nsections, sizeof(Elf64_Shdr));
    o.place = NEW_N(arena, size_t, o.nsections);
    for (size_t i = 0; i < o.nsections; i++) o.place[i] = NOWHERE;
    find_symbols(&o);
    return o;
}

// ---- placing -------------------------------------------------------------------------

struct placing {
    struct object *objects;
    size_t nobjects, n; // bytes of the image so far
};

// Whether a section is part of the code at all; one that is written to cannot be.
static bool is_kept(const struct object *o, const Elf64_Shdr *s) {
    if (!(s->sh_flags & SHF_ALLOC) || s->sh_size == 0) return false;
    if (s->sh_type != SHT_PROGBITS || (s->sh_flags & (SHF_WRITE | SHF_TLS)))
        BUG("the code of `%s` has a section of type %u, flags %llx", o->name, s->sh_type,
            (unsigned long long)s->sh_flags);
    within(o, s->sh_offset, s->sh_size, 1);
    return true;
}

static void place_sections(struct placing *im, bool code) {
    im->n = size_align(im->n, CODE_ALIGN);
    for (size_t k = 0; k < im->nobjects; k++) {
        struct object *o = &im->objects[k];
        for (size_t i = 0; i < o->nsections; i++) {
            const Elf64_Shdr *s = &o->sections[i];
            if (!is_kept(o, s) || code != ((s->sh_flags & SHF_EXECINSTR) != 0)) continue;
            size_t align = size_max(s->sh_addralign, code ? CODE_ALIGN : 1);
            o->place[i] = size_align(im->n, align);
            CHECK(size_add(o->place[i], s->sh_size, &im->n) && im->n <= INT32_MAX);
        }
    }
}

// Between units lie instructions that trap.
static char *copy_sections(const struct placing *im, struct arena *arena) {
    char *bytes = arena_alloc(arena, im->n, 1);
    if (im->nobjects) memset(bytes, refer_trap(im->objects[0].machine), im->n);
    for (size_t k = 0; k < im->nobjects; k++) {
        const struct object *o = &im->objects[k];
        for (size_t i = 0; i < o->nsections; i++) {
            const Elf64_Shdr *s = &o->sections[i];
            if (o->place[i] != NOWHERE)
                memcpy(bytes + o->place[i], o->bytes + s->sh_offset, s->sh_size);
        }
    }
    return bytes;
}

// ---- references ----------------------------------------------------------------------

static size_t symbol_place(const struct object *o, const Elf64_Sym *s) {
    if (s->st_shndx == SHN_UNDEF || s->st_shndx >= o->nsections ||
        o->place[s->st_shndx] == NOWHERE)
        BUG("the code of `%s` refers to `%s`, which is not in it", o->name,
            symbol_name(o, s));
    if (s->st_value > o->sections[s->st_shndx].sh_size)
        BUG("the code of `%s` refers to what lies behind a section", o->name);
    return o->place[s->st_shndx] + s->st_value;
}

static void relocate(const struct object *o, const Elf64_Shdr *target, size_t base,
                     const Elf64_Rela *r, char *bytes) {
    if (target->sh_size < 4 || r->r_offset > target->sh_size - 4)
        BUG("the code of `%s` has a reference outside of it", o->name);
    size_t from = base + r->r_offset;
    int64_t to = (int64_t)symbol_place(o, symbol_at(o, ELF64_R_SYM(r->r_info)));
    uint32_t type = (uint32_t)ELF64_R_TYPE(r->r_info);
    if (!refer(o->machine, type, bytes + from, (int64_t)from, to + r->r_addend))
        BUG("the code of `%s` has a reference of type %u, or too long a one", o->name,
            type);
}

static void relocate_section(const struct object *o, const Elf64_Shdr *s, char *bytes) {
    const Elf64_Shdr *target = section_at(o, s->sh_info);
    size_t base = o->place[s->sh_info], n = s->sh_size / sizeof(Elf64_Rela);
    const Elf64_Rela *list = within(o, s->sh_offset, n, sizeof(Elf64_Rela));
    for (size_t i = 0; base != NOWHERE && i < n; i++)
        relocate(o, target, base, &list[i], bytes);
}

static void relocate_all(const struct placing *im, char *bytes) {
    for (size_t k = 0; k < im->nobjects; k++) {
        const struct object *o = &im->objects[k];
        for (size_t i = 0; i < o->nsections; i++) {
            CHECK(o->sections[i].sh_type != SHT_REL);
            if (o->sections[i].sh_type == SHT_RELA)
                relocate_section(o, &o->sections[i], bytes);
        }
    }
}

// ---- the image -----------------------------------------------------------------------

static struct codegen_kernel kernel_of(const struct object *o, const char *name,
                                       struct arena *arena) {
    for (size_t i = 0; i < o->nsymbols; i++) {
        const Elf64_Sym *s = &o->symbols[i];
        if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || strcmp(symbol_name(o, s), name))
            continue;
        return (struct codegen_kernel){arena_strdup(arena, name), symbol_place(o, s),
                                       s->st_size};
    }
    BUG("the object of `%s` does not define it", name);
}

// Kernels lie in an object in the order in which they were put into it.
static void list_kernels(const struct codegen *cg, const struct placing *im,
                         struct arena *arena, struct codegen_image *out) {
    out->kernels = NEW_N(arena, struct codegen_kernel, cg->entries.n);
    for (size_t u = 0; u < im->nobjects; u++)
        for (size_t i = 0; i < cg->units.at[u].entries.n; i++) {
            const struct entry *e = &cg->entries.at[cg->units.at[u].entries.at[i]];
            out->kernels[out->nkernels++] = kernel_of(&im->objects[u], e->symbol, arena);
        }
}

static void lay_out(const struct codegen *cg, struct arena *arena,
                    struct codegen_image *out) {
    struct placing im = {.nobjects = cg->units.n};
    im.objects = NEW_N(arena, struct object, im.nobjects);
    for (size_t k = 0; k < im.nobjects; k++)
        im.objects[k] = object_of(arena, cg, &cg->units.at[k]);
    place_sections(&im, true);
    place_sections(&im, false);
    *out = (struct codegen_image){.n = im.n};
    out->bytes = copy_sections(&im, arena);
    relocate_all(&im, out->bytes);
    list_kernels(cg, &im, arena, out);
}

bool codegen_image(struct codegen *cg, size_t threads, struct arena *arena,
                   struct codegen_image *out, struct diags *d) {
    units_join(cg);
    if (!compile_from(cg, 0, threads, d)) return false;
    lay_out(cg, arena, out);
    for (size_t i = 0; i < cg->units.n; i++) drop_object(&cg->units.at[i]);
    return true;
}
