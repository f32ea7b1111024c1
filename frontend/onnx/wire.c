// A walk over the bytes of an ONNX file that protobuf-c has not seen yet.
//
// protobuf-c recurses into nested messages, allocates a structure of a few hundred bytes
// for a message that takes two bytes in the file, and copies every weight. So the file is
// walked first, with the generated descriptors telling which fields are messages and with
// an explicit stack. It is refused when it is nested deeper or crumbled finer than any
// network is; and what protobuf-c is given is only the file's skeleton: the same
// messages, where raw data is 16 bytes that say where in the file it lies. Left out of it
// are texts for people and fields that ddg has no use for. The walk sees the file through
// a window and steps over raw data, so a file costs the size of its skeleton.
#include "frontend/onnx/onnx.h"

// Model, graph, node, attribute, tensor: 5. Bodies of loops and branches nest further.
#define MAX_DEPTH 32
// The least that is always allowed, and bytes of file for each one more.
#define MESSAGES_FREE  ((size_t)1 << 16)
#define MESSAGES_BYTES 64
#define FIELDS_FREE    ((size_t)1 << 18)
#define FIELDS_BYTES   4

#define WINDOW      ((size_t)1 << 16)
#define LENGTH_SIZE ((size_t)5) // lengths of messages are written in so many bytes
#define RAW_DATA    9           // the field of TensorProto

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

// ---- fields --------------------------------------------------------------------------
// Fields of newer ONNX than the descriptors know, which protobuf-c hands over as they
// are.
static const struct newer {
    const ProtobufCMessageDescriptor *in;
    uint32_t id;
    const ProtobufCMessageDescriptor *message; // NULL: bytes
} NEWER[] = {
    {&onnx__function_proto__descriptor, ONNX_FUNCTION_ATTRIBUTE,
     &onnx__attribute_proto__descriptor},
    {&onnx__function_proto__descriptor, ONNX_FUNCTION_OVERLOAD, NULL},
    {&onnx__node_proto__descriptor, ONNX_NODE_OVERLOAD, NULL},
};

struct field {                                 // what is known of a field that came
    const ProtobufCMessageDescriptor *message; // what it holds, or NULL
    uint64_t single; // its bit in level.seen, when it must not come twice; or 0
    bool kept;
    bool raw; // raw data of a tensor
};

static struct field newer_field(const ProtobufCMessageDescriptor *in, uint32_t id) {
    for (size_t i = 0; i < COUNT(NEWER); i++)
        if (NEWER[i].in == in && NEWER[i].id == id)
            return (struct field){.message = NEWER[i].message, .kept = true};
    return (struct field){.kept = false};
}

static struct field find_field(const ProtobufCMessageDescriptor *in, uint32_t id) {
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(in, id);
    if (!f) return newer_field(in, id);
    struct field out = {.kept = strcmp(f->name, "doc_string") != 0};
    out.raw = in == &onnx__tensor_proto__descriptor && id == RAW_DATA;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) return out;
    out.message = f->descriptor;
    size_t i = (size_t)(f - in->fields);
    CHECK(i < 64);
    if (f->label != PROTOBUF_C_LABEL_REPEATED) out.single = UINT64_C(1) << i;
    return out;
}

// ---- the walk ------------------------------------------------------------------------
struct level { // a message that the walk is inside of
    const ProtobufCMessageDescriptor *desc;
    size_t end;
    uint64_t seen;    // single messages that have come
    size_t length_at; // where in the skeleton its length belongs
};

struct walk {
    const struct onnx_disk *disk;
    size_t at; // in the file
    uint8_t *window;
    size_t start, size; // of the bytes in it
    struct level levels[MAX_DEPTH];
    size_t depth;
    size_t messages, fields; // that may still come
    const char *why;         // NULL: said already
    struct onnx_skeleton *out;
    size_t cap;
};

static bool refuse(struct walk *w, const char *why) {
    w->why = why;
    return false;
}

static struct level *top(struct walk *w) {
    return &w->levels[w->depth - 1];
}

// ---- writing the skeleton ------------------------------------------------------------
static uint8_t *put(struct walk *w, size_t n) {
    struct onnx_skeleton *s = w->out;
    size_t most;
    if (!size_add(s->n, n, &most)) scope_no_memory();
    if (most > w->cap) {
        size_t cap = size_max(most, w->cap + w->cap / 2 + WINDOW);
        uint8_t *grown = mem_resize(s->at, cap);
        if (!grown) scope_no_memory();
        s->at = grown;
        w->cap = cap;
    }
    uint8_t *p = s->at + s->n;
    s->n += n;
    return p;
}

static void put_varint(struct walk *w, uint64_t v) {
    for (; v >= 0x80; v >>= 7) *put(w, 1) = (uint8_t)(v | 0x80);
    *put(w, 1) = (uint8_t)v;
}

static void put_length(uint8_t *at, size_t n) {
    for (size_t i = 0; i < LENGTH_SIZE; i++, n >>= 7)
        at[i] = (uint8_t)((n & 0x7f) | (i + 1 < LENGTH_SIZE ? 0x80 : 0));
}

static void put_place(struct walk *w, size_t n) {
    struct onnx_place place = {w->at, n};
    put_varint(w, sizeof place);
    memcpy(put(w, sizeof place), &place, sizeof place);
}

// ---- reading the file ----------------------------------------------------------------
static bool fill_window(struct walk *w) {
    w->start = w->at;
    w->size = size_min(WINDOW, (size_t)w->disk->model.st.st_size - w->at);
    return onnx_disk_read(w->disk, &w->disk->model, w->start, w->window, w->size);
}

static bool in_window(const struct walk *w, size_t n) {
    return w->at >= w->start && w->at - w->start < w->size &&
           w->size - (w->at - w->start) >= n;
}

static bool check_room(struct walk *w, uint64_t n) {
    return n <= top(w)->end - w->at || refuse(w, "it is cut short");
}

static bool copy(struct walk *w, size_t n) {
    uint8_t *to = put(w, n);
    if (n && in_window(w, n)) memcpy(to, w->window + (w->at - w->start), n);
    else if (!onnx_disk_read(w->disk, &w->disk->model, w->at, to, n)) return false;
    w->at += n;
    return true;
}

static bool skip(struct walk *w, uint64_t n, bool kept) {
    if (!check_room(w, n)) return false;
    if (kept) return copy(w, (size_t)n);
    w->at += (size_t)n;
    return true;
}

static bool read_varint(struct walk *w, uint64_t *out) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!check_room(w, 1)) return false;
        if (!in_window(w, 1) && !fill_window(w)) return false;
        uint8_t byte = w->window[w->at++ - w->start];
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = v;
            return true;
        }
    }
    return refuse(w, "a number in it is longer than 64 bits");
}

// ---- messages ------------------------------------------------------------------------
// A repeated `graph` field would be merged with the ones before, at a cost that grows
// with the square of their number; no writer makes one.
static bool first_time(struct walk *w, const struct field *f) {
    struct level *l = top(w);
    if (l->seen & f->single) return refuse(w, "a message in it has two of one part");
    l->seen |= f->single;
    return true;
}

static bool enter(struct walk *w, const struct field *f, uint64_t n) {
    if (!first_time(w, f) || !check_room(w, n)) return false;
    if (w->depth == MAX_DEPTH) return refuse(w, "its messages are nested too deep");
    if (w->messages-- == 0) return refuse(w, "it has too many messages for its size");
    size_t length_at = w->out->n;
    put(w, LENGTH_SIZE);
    w->levels[w->depth++] = (struct level){f->message, w->at + (size_t)n, 0, length_at};
    return true;
}

static bool leave(struct walk *w) {
    size_t at = top(w)->length_at, n = w->out->n - at - LENGTH_SIZE;
    if (--w->depth == 0) return true; // the file itself has no length
    if (n > ONNX_MAX_BYTES) return refuse(w, "it is too large");
    put_length(w->out->at + at, n);
    return true;
}

static bool walk_bytes(struct walk *w, const struct field *f) {
    uint64_t n;
    if (!read_varint(w, &n)) return false;
    if (f->message) return enter(w, f, n);
    if (f->raw) {
        if (!check_room(w, n)) return false;
        put_place(w, (size_t)n);
        w->at += (size_t)n;
        return true;
    }
    if (f->kept) put_varint(w, n);
    return skip(w, n, f->kept);
}

static bool walk_number(struct walk *w, const struct field *f) {
    uint64_t number;
    if (!read_varint(w, &number)) return false;
    if (f->kept) put_varint(w, number);
    return true;
}

static bool walk_field(struct walk *w) {
    uint64_t tag;
    if (w->fields-- == 0) return refuse(w, "it has too many fields for its size");
    if (!read_varint(w, &tag)) return false;
    if (tag >> 3 == 0 || tag > UINT32_MAX)
        return refuse(w, "a field in it has no number");
    struct field f = find_field(top(w)->desc, (uint32_t)(tag >> 3));
    if (f.kept) put_varint(w, tag);
    switch (tag & 7) {
    case WIRE_VARINT: return walk_number(w, &f);
    case WIRE_FIXED64: return skip(w, 8, f.kept);
    case WIRE_FIXED32: return skip(w, 4, f.kept);
    case WIRE_BYTES: return walk_bytes(w, &f);
    default: return refuse(w, "a field in it has no type");
    }
}

static bool walk_file(struct walk *w) {
    while (w->depth > 0)
        if (!(w->at == top(w)->end ? leave(w) : walk_field(w))) return false;
    return true;
}

bool onnx_wire_read(const struct onnx_disk *disk, struct onnx_skeleton *out) {
    size_t n = (size_t)disk->model.st.st_size;
    struct walk w = {
        .disk = disk,
        .levels = {{&onnx__model_proto__descriptor, n, 0, 0}},
        .depth = 1,
        .messages = MESSAGES_FREE + n / MESSAGES_BYTES,
        .fields = FIELDS_FREE + n / FIELDS_BYTES,
        .out = out,
    };
    struct cleanup window;
    w.window = mem_alloc(WINDOW);
    if (!w.window) scope_no_memory();
    cleanup_push(&window, mem_free_at, &w.window);
    bool ok = walk_file(&w);
    cleanup_run(&window);
    if (!ok && w.why) return onnx_fail(disk->log, "is not an ONNX file: %s", w.why);
    return ok;
}
