// See model.h. docs/teachers.md lists the members.
#include "cli/model.h"

static void emit_dim(struct emit *e, const struct model_dim *d) {
    if (d->name) emit_string(e, NULL, d->name);
    else emit_count(e, NULL, d->n < 0 ? 0 : (uint64_t)d->n);
}

static void emit_ports(struct emit *e, const char *key, const struct model_port *at,
                       size_t n) {
    emit_open(e, key, '[');
    for (size_t i = 0; i < n; i++) {
        emit_open(e, NULL, '{');
        emit_string(e, "name", at[i].name);
        emit_string(e, "type", at[i].type);
        if (at[i].shaped) emit_open(e, "shape", '[');
        else emit_null(e, "shape");
        for (size_t k = 0; k < at[i].rank; k++) emit_dim(e, &at[i].dim[k]);
        if (at[i].shaped) emit_close(e, ']');
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_norms(struct emit *e, const struct model_facts *f) {
    static const char *const states[] = {[NORMS_KEPT] = "kept",
                                         [NORMS_PARTLY] = "partly folded",
                                         [NORMS_FOLDED] = "folded",
                                         [NORMS_UNKNOWN] = "none or folded",
                                         [NORMS_NONE] = "none"};
    emit_open(e, "norms", '{');
    emit_string(e, "batch_norm", states[model_norms(f)]);
    emit_count(e, "batch_norms", f->batch_norms);
    emit_count(e, "others", f->other_norms + f->written_norms);
    emit_count(e, "convolutions", f->convs);
    emit_count(e, "folded_convolutions", f->convs_folded);
    emit_close(e, '}');
}

static void emit_parts(struct emit *e, const struct model_facts *f) {
    emit_bool(e, "layers_known", f->layered);
    emit_open(e, "tensors", '[');
    for (enum model_part p = 0; p < MODEL_PARTS; p++) {
        emit_open(e, NULL, '{');
        emit_string(e, "of", model_part_name(p));
        emit_bool(e, "trainable", PART_TRAINABLE(p));
        emit_count(e, "tensors", f->parts[p].tensors);
        emit_count(e, "elements", f->parts[p].elements);
        emit_count(e, "bytes", f->parts[p].bytes);
        emit_close(e, '}');
    }
    emit_close(e, ']');
    emit_string(e, "stored_as", f->stored);
    emit_count(e, "shared_tensors", f->shared);
}

static void emit_ops(struct emit *e, const struct model_facts *f) {
    emit_open(e, "ops", '[');
    for (size_t i = 0; i < f->nops; i++) {
        emit_open(e, NULL, '{');
        emit_string(e, "op", f->ops[i].name);
        emit_count(e, "nodes", f->ops[i].nodes);
        emit_bool(e, "supported", f->ops[i].supported);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_facts(struct emit *e, const struct model_facts *f) {
    emit_count(e, "bytes", f->bytes);
    emit_string(e, "producer", f->producer);
    emit_string(e, "producer_version", f->version);
    emit_count(e, "opset", f->opset < 0 ? 0 : (uint64_t)f->opset);
    emit_count(e, "ir_version", f->ir < 0 ? 0 : (uint64_t)f->ir);
    emit_ports(e, "inputs", f->inputs, f->ninputs);
    emit_ports(e, "outputs", f->outputs, f->noutputs);
    emit_bool(e, "softmax", f->softmax);
    emit_norms(e, f);
    emit_parts(e, f);
    emit_ops(e, f);
}

static void emit_uses(struct emit *e, const struct model_report *r) {
    emit_open(e, "uses", '[');
    for (size_t i = 0; i < r->nuses; i++) {
        const struct model_use *u = &r->uses[i];
        emit_open(e, NULL, '{');
        emit_string(e, "op", u->op);
        emit_string(e, "with", u->with);
        emit_bool(e, "works", !u->why);
        emit_string(e, "why", u->why);
        if (!u->why) emit_real(e, "flops", u->flops);
        if (!u->why) emit_count(e, "memory", u->bytes);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_sizes(struct emit *e, const struct model_report *r) {
    emit_open(e, "sizes", '[');
    for (size_t i = 0; i < r->nsizes; i++) {
        emit_open(e, NULL, '{');
        emit_count(e, "size", r->sizes[i].side);
        emit_bool(e, "works", !r->sizes[i].why);
        emit_string(e, "why", r->sizes[i].why);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_said(struct emit *e, const struct diags *d) {
    static const char *const severities[] = {
        [DIAG_ERROR] = "error", [DIAG_WARNING] = "warning", [DIAG_NOTE] = "note"};
    emit_open(e, "said", '[');
    for (size_t i = 0; i < d->list.n; i++) {
        emit_open(e, NULL, '{');
        emit_string(e, "severity", severities[d->list.at[i].severity]);
        emit_string(e, "message", d->list.at[i].message);
        emit_string(e, "help", d->list.at[i].help);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_model(struct emit *e, const struct model_report *r) {
    const struct model *m = r->facts->model;
    emit_count(e, "classes", m->classes);
    emit_count(e, "channels", m->channels);
    emit_count(e, "height", r->height);
    emit_count(e, "width", r->width);
    emit_real(e, "flops", r->flops);
    emit_uses(e, r);
    emit_sizes(e, r);
}

void model_emit(const struct model_report *r, struct emit *e) {
    emit_open(e, NULL, '{');
    emit_string(e, "path", r->path);
    emit_bool(e, "usable", r->facts->model != NULL);
    emit_said(e, r->said);
    if (r->facts->parsed) emit_facts(e, r->facts);
    if (r->facts->model) emit_model(e, r);
    emit_close(e, '}');
}
