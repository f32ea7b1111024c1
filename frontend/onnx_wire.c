// A walk over the bytes of an ONNX file that protobuf-c has not seen yet.
//
// protobuf-c recurses into nested messages and allocates a structure of a few hundred
// bytes for a message that takes two bytes in the file. So the file is walked first, with
// the generated descriptors telling which fields are messages and with an explicit stack,
// and refused when it is nested deeper or crumbled finer than any network is.
#include "frontend/onnx.h"

// Model, graph, node, attribute, tensor: 5. Bodies of loops and branches nest further.
#define MAX_DEPTH 32
// The least that is always allowed, and bytes of file for each one more.
#define MESSAGES_FREE  ((size_t)1 << 16)
#define MESSAGES_BYTES 64
#define FIELDS_FREE    ((size_t)1 << 18)
#define FIELDS_BYTES   4

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct level { // a message that the walk is inside of
    const ProtobufCMessageDescriptor *desc;
    const uint8_t *end;
    uint64_t seen; // bit i: descriptor field i, a single message, has come
};

struct walk {
    const uint8_t *p;
    struct level levels[MAX_DEPTH];
    size_t depth;
    size_t messages, fields; // that may still come
    const char *why;
};

static bool refuse(struct walk *w, const char *why) {
    w->why = why;
    return false;
}

static bool read_varint(struct walk *w, const uint8_t *end, uint64_t *out) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (w->p == end) return refuse(w, "it is cut short");
        uint8_t byte = *w->p++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = v;
            return true;
        }
    }
    return refuse(w, "a number in it is longer than 64 bits");
}

static bool skip(struct walk *w, const uint8_t *end, uint64_t n) {
    if (n > (uint64_t)(end - w->p)) return refuse(w, "it is cut short");
    w->p += n;
    return true;
}

// A repeated `graph` field would be merged with the ones before, at a cost that grows
// with the square of their number; no writer makes one.
static bool first_time(struct walk *w, struct level *l,
                       const ProtobufCFieldDescriptor *field) {
    if (field->label == PROTOBUF_C_LABEL_REPEATED) return true;
    size_t i = (size_t)(field - l->desc->fields);
    CHECK(i < 64);
    if (l->seen >> i & 1) return refuse(w, "a message in it has two of one part");
    l->seen |= UINT64_C(1) << i;
    return true;
}

static bool enter(struct walk *w, const ProtobufCFieldDescriptor *field, uint64_t n) {
    struct level *l = &w->levels[w->depth - 1];
    if (!first_time(w, l, field)) return false;
    if (w->depth == MAX_DEPTH) return refuse(w, "its messages are nested too deep");
    if (w->messages-- == 0) return refuse(w, "it has too many messages for its size");
    const uint8_t *start = w->p;
    if (!skip(w, l->end, n)) return false;
    w->p = start;
    w->levels[w->depth++] = (struct level){field->descriptor, start + n, 0};
    return true;
}

static bool walk_bytes(struct walk *w, uint32_t id) {
    const struct level *l = &w->levels[w->depth - 1];
    uint64_t n;
    if (!read_varint(w, l->end, &n)) return false;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(l->desc, id);
    if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) return enter(w, field, n);
    return skip(w, l->end, n);
}

static bool walk_field(struct walk *w) {
    const uint8_t *end = w->levels[w->depth - 1].end;
    uint64_t tag, number;
    if (w->fields-- == 0) return refuse(w, "it has too many fields for its size");
    if (!read_varint(w, end, &tag)) return false;
    if (tag >> 3 == 0 || tag > UINT32_MAX)
        return refuse(w, "a field in it has no number");
    switch (tag & 7) {
    case WIRE_VARINT: return read_varint(w, end, &number);
    case WIRE_FIXED64: return skip(w, end, 8);
    case WIRE_FIXED32: return skip(w, end, 4);
    case WIRE_BYTES: return walk_bytes(w, (uint32_t)(tag >> 3));
    default: return refuse(w, "a field in it has no type");
    }
}

bool onnx_wire_ok(const uint8_t *data, size_t n, const char **why) {
    struct walk w = {
        .p = data,
        .levels = {{&onnx__model_proto__descriptor, data + n, 0}},
        .depth = 1,
        .messages = MESSAGES_FREE + n / MESSAGES_BYTES,
        .fields = FIELDS_FREE + n / FIELDS_BYTES,
    };
    while (w.depth > 0) {
        if (w.p == w.levels[w.depth - 1].end) {
            w.depth--;
        } else if (!walk_field(&w)) {
            *why = w.why;
            return false;
        }
    }
    return true;
}
