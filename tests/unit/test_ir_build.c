// The builder: one node for one meaning, constants folded, what changes nothing left out,
// functions finished and copied into one another.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/build.h"
#include "ir/text.h"

struct fixture {
    struct arena *arena;
    struct builder b;
    nid x; // rows f32[2,3]
};

static int setup(void **state) {
    struct arena *arena = arena_new();
    struct fixture *s = NEW(arena, struct fixture);
    s->arena = arena;
    builder_init(&s->b, arena, "f");
    s->x = b_input(&s->b, "x", type_tensor(ELEM_F32, true, 2, (size_t[]){2, 3}));
    *state = s;
    return 0;
}

static int teardown(void **state) {
    arena_free(((struct fixture *)*state)->arena);
    return 0;
}

static const struct node *at(struct fixture *s, nid n) {
    return node_at(s->b.f, n);
}

static nid f32s(struct builder *b, const float *v, size_t n) {
    return b_const(b, type_tensor(ELEM_F32, false, 1, &n), v);
}

// ---- identity ------------------------------------------------------------------------
static void equal_nodes_are_one(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    nid e = b_unary(b, OP_EXP, s->x);
    const struct source text = {"a.ddg", "exp(x)", 6};
    b->span = (struct span){&text, 0, 6}; // neither place nor name makes a difference
    b->name = "again";
    assert_int_equal(b_unary(b, OP_EXP, s->x), e);
    assert_int_not_equal(b_unary(b, OP_TANH, s->x), e);
    int64_t both[] = {0, 1};
    nid sum = b_sum(b, s->x, both, 1, false);
    assert_int_equal(b_sum(b, s->x, both, 1, false), sum);
    assert_int_not_equal(b_sum(b, s->x, both + 1, 1, false), sum);
    assert_int_not_equal(b_sum(b, s->x, both, 2, false), sum);
    assert_int_not_equal(b_sum(b, s->x, both, 1, true), sum);
    // Of one name, but not one value (the verifier refuses it).
    assert_int_not_equal(b_input(b, "x", type_scalar(ELEM_F32, true)), s->x);
    // x - e and e - x are different things.
    assert_int_not_equal(b_binary(b, OP_SUB, s->x, e), b_binary(b, OP_SUB, e, s->x));
}

static void constants_are_their_content(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    float v[] = {1, 2, 3, 4};
    nid c = f32s(b, v, 4);
    float same[] = {1, 2, 3, 4};
    assert_int_equal(f32s(b, same, 4), c);
    v[0] = 9; // the data was copied
    assert_true(((const float *)at(s, c)->data)[0] == 1);
    assert_int_not_equal(f32s(b, v, 4), c);
    assert_int_not_equal(f32s(b, same, 3), c);
    struct type square = type_tensor(ELEM_F32, false, 2, (size_t[]){2, 2});
    assert_int_not_equal(b_const(b, square, same), c);
    assert_int_not_equal(b_f32(b, 0.0F), b_f32(b, -0.0F));
    // Two parameters that begin equal are trained apart.
    assert_int_not_equal(b_param(b, "p", square, same), b_param(b, "q", square, same));
    assert_int_equal(b_param(b, "p", square, same), b_param(b, "p", square, same));
}

static void many_nodes_stay_apart(void **state) {
    struct fixture *s = *state;
    enum { N = 5000 };
    for (int64_t i = 0; i < N; i++) b_i64s(&s->b, &i, 1);
    size_t made = s->b.f->nodes.n;
    assert_int_equal(made, N + 1);
    for (int64_t i = 0; i < N; i++) b_i64s(&s->b, &i, 1);
    assert_int_equal(s->b.f->nodes.n, made);
}

static void names_go_to_the_next_node_only(void **state) {
    struct fixture *s = *state;
    s->b.name = "first";
    nid a = b_unary(&s->b, OP_EXP, s->x), c = b_unary(&s->b, OP_TANH, s->x);
    assert_string_equal(at(s, a)->name, "first");
    assert_null(at(s, c)->name);
    s->b.name = "later"; // a node keeps its first name, and gets one if it had none
    b_unary(&s->b, OP_EXP, s->x);
    assert_string_equal(at(s, a)->name, "first");
    s->b.name = "late";
    b_unary(&s->b, OP_TANH, s->x);
    assert_string_equal(at(s, c)->name, "late");
}

// ---- folding -------------------------------------------------------------------------
static void assert_i64s(struct fixture *s, nid n, const int64_t *want, size_t count) {
    assert_int_equal(at(s, n)->op, OP_CONST);
    assert_int_equal(type_count(&at(s, n)->type), count);
    assert_memory_equal(at(s, n)->data, want, count * sizeof *want);
}

// What exporters write for "flatten all but the first axis": Shape, Gather, Concat, ...
static void shape_arithmetic_folds(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    nid shape = b_i64s(b, (int64_t[]){8, 16, 4, 4}, 4);
    nid rest = b_slice(b, shape, (int64_t[]){1}, (int64_t[]){1}, (int64_t[]){3}, 1);
    assert_i64s(s, rest, (int64_t[]){16, 4, 4}, 3);
    nid half = b_binary(b, OP_DIV, rest, b_i64s(b, (int64_t[]){-3}, 1));
    assert_i64s(s, half, (int64_t[]){-6, -2, -2}, 3);
    nid first = b_gather(b, shape, (int64_t[]){0}, 1, 0);
    struct value axis = val_int(0);
    nid pair[] = {first, b_sum(b, half, (int64_t[]){0}, 1, true)};
    nid joined = build_node(b, OP_CONCAT, pair, 2, &axis, NULL);
    assert_i64s(s, joined, (int64_t[]){8, -10}, 2);
    nid back = b_cast(b, b_cast(b, joined, ELEM_F32), ELEM_I64);
    assert_int_equal(back, joined);
}

static void only_constants_fold(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    float v[] = {1, 2};
    size_t n = 2;
    nid param = b_param(b, "p", type_tensor(ELEM_F32, false, 1, &n), v);
    assert_int_equal(at(s, b_unary(b, OP_EXP, param))->op, OP_EXP);
    assert_int_equal(at(s, b_unary(b, OP_EXP, f32s(b, v, 2)))->op, OP_CONST);
    b->fold = false;
    assert_int_equal(at(s, b_unary(b, OP_EXP, f32s(b, v, 2)))->op, OP_EXP);
}

static void folding_makes_no_large_values(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    nid one = b_f32(b, 2);
    assert_int_equal(at(s, b_broadcast(b, one, (size_t[]){128, 128}, 2))->op, OP_CONST);
    assert_int_equal(at(s, b_broadcast(b, one, (size_t[]){128, 129}, 2))->op,
                     OP_BROADCAST);
    // A large constant may become another of its size,
    size_t dim[] = {300, 100};
    float *data = NEW_N(s->arena, float, 30000);
    nid big = b_const(b, type_tensor(ELEM_F32, false, 2, dim), data);
    assert_int_equal(at(s, b_unary(b, OP_EXP, big))->op, OP_CONST);
    // but a product that takes long to work out is left for the run.
    nid square = b_matmul(b, big, big, false, true);
    assert_int_equal(at(s, square)->op, OP_MATMUL);
}

// A file of many nodes that double a constant must not fill the memory, nor take for
// ever.
static void folding_has_a_budget(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    float v[100] = {0};
    nid x = f32s(b, v, 100);
    b_unary(b, OP_EXP, x);
    assert_true(b->fold_spent >= sizeof v);
    b->fold_spent = ((size_t)2 << 30) - 100;
    assert_int_equal(at(s, b_unary(b, OP_TANH, x))->op, OP_TANH);
    assert_int_equal(at(s, b_unary(b, OP_TANH, b_f32(b, 0)))->op, OP_CONST);
}

// ---- simplification ------------------------------------------------------------------
static void what_changes_nothing_is_left_out(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    nid x = s->x, zero = b_f32(b, 0), one = b_f32(b, 1);
    nid ones = f32s(b, (float[]){1, 1, 1}, 3),
        row_of_ones = b_reshape(b, ones, (size_t[]){1, 3}, 2);
    int64_t none[] = {0, 0}, steps[] = {1, 1}, sizes[] = {2, 3};
    nid got[] = {
        b_reshape(b, x, (size_t[]){2, 3}, 2),
        b_reshape(b, b_reshape(b, x, (size_t[]){6}, 1), (size_t[]){2, 3}, 2),
        b_broadcast(b, x, (size_t[]){2, 3}, 2),
        b_transpose(b, x, (int64_t[]){0, 1}, 2),
        b_slice(b, x, none, steps, sizes, 2),
        b_pad(b, x, none, none, none, 2, 7),
        b_cast(b, x, ELEM_F32),
        b_binary(b, OP_ADD, x, zero),
        b_binary(b, OP_ADD, zero, x),
        b_binary(b, OP_SUB, x, zero),
        b_binary(b, OP_MUL, x, one),
        b_binary(b, OP_MUL, row_of_ones, x),
        b_binary(b, OP_DIV, x, one),
        b_unary(b, OP_NEG, b_unary(b, OP_NEG, x)),
    };
    for (size_t i = 0; i < COUNT(got); i++)
        if (got[i] != x)
            fail_msg("case %zu made %s", i, op_info(at(s, got[i])->op)->name);
}

static void what_changes_something_stays(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    nid x = s->x, zero = b_f32(b, 0), one = b_f32(b, 1);
    nid wide = b_broadcast(b, zero, (size_t[]){4, 1, 1}, 3);
    nid column = b_input(b, "c", type_tensor(ELEM_F32, true, 2, (size_t[]){1, 3}));
    nid tall =
        b_const(b, type_tensor(ELEM_F32, false, 2, (size_t[]){2, 1}), (float[]){1, 1});
    assert_int_equal(at(s, b_binary(b, OP_SUB, zero, x))->op, OP_SUB);
    assert_int_equal(at(s, b_binary(b, OP_DIV, one, x))->op, OP_DIV);
    // Multiplying by ones of a larger shape repeats the rows.
    assert_int_equal(at(s, b_binary(b, OP_MUL, column, tall))->op, OP_MUL);
    // Adding zero makes a row value of nothing but zeros all the same.
    nid scalar = b_input(b, "k", type_scalar(ELEM_F32, false));
    assert_int_equal(at(s, b_binary(b, OP_ADD, scalar, wide))->op, OP_ADD);
    int64_t back[] = {-1, -1}, starts[] = {1, 2}, sizes[] = {2, 3};
    assert_int_equal(at(s, b_slice(b, x, starts, back, sizes, 2))->op, OP_SLICE);
    assert_int_equal(at(s, b_transpose(b, x, (int64_t[]){1, 0}, 2))->op, OP_TRANSPOSE);
    // A parameter may be 1 today and something else after training.
    float v = 1;
    nid p = b_param(b, "p", type_scalar(ELEM_F32, false), &v);
    assert_int_equal(at(s, b_binary(b, OP_MUL, x, p))->op, OP_MUL);
}

// ---- rows ----------------------------------------------------------------------------
static void a_row_operand_makes_a_row_value(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    nid w = f32s(b, (float[]){1, 2, 3}, 3);
    nid whole = b_unary(b, OP_EXP, b_input(b, "k", type_scalar(ELEM_F32, false)));
    assert_false(at(s, whole)->type.rows);
    assert_true(at(s, b_binary(b, OP_MUL, s->x, whole))->type.rows);
    nid table = b_reshape(b, w, (size_t[]){3, 1}, 2);
    nid index = b_input(b, "i", type_scalar(ELEM_I32, true));
    assert_true(at(s, b_take(b, table, index))->type.rows);
    nid total = b_sum_all(b, s->x);
    assert_true(at(s, total)->type.rows);
    assert_int_equal(at(s, total)->type.rank, 0);
    // The gradient with respect to a value shared by all rows is still one a row.
    nid grad = b_binary(b, OP_GRAD, total, w);
    assert_string_equal(type_str(s->arena, &at(s, grad)->type), "rows f32[3]");
}

// ---- errors --------------------------------------------------------------------------
static void errors_say_what_is_at_fault(void **state) {
    struct fixture *s = *state;
    struct rule_ctx e;
    int64_t perm[] = {1, 2};
    struct value v = val_ints(perm, 2);
    assert_int_equal(build_node(&s->b, OP_TRANSPOSE, &s->x, 1, &v, &e), NID_NONE);
    assert_string_equal(e.error, "transpose: rows f32[2,3] has no axis 2");
    assert_int_equal(e.error_attr, 0);
    assert_int_equal(e.error_operand, -1);
    nid in[] = {s->x, s->x};
    assert_int_equal(build_node(&s->b, OP_TAKE, in, 2, NULL, &e), NID_NONE);
    assert_string_equal(e.error, "take: `index` must be i32[], this is rows f32[2,3]");
    assert_int_equal(e.error_operand, 1);
    assert_int_equal(build_node(&s->b, OP_TAKE, in, 2, NULL, NULL), NID_NONE);
}

static void attributes_can_be_checked_alone(void **state) {
    struct fixture *s = *state;
    struct rule_ctx e;
    double mean[] = {0, 0, 0}, std[] = {1, 1, -1};
    struct value v[OP_MAX_ATTRS] = {val_string("m.onnx"), val_floats(mean, 3),
                                    val_floats(std, 3), val_string("fp32")};
    assert_false(build_check_attrs(&s->b, OP_ONNX, v, &e));
    assert_int_equal(e.error_attr, 2);
    assert_string_equal(e.error,
                        "onnx: `std` must be between 1e-06 and 1000; this is -1");
    std[2] = 1;
    assert_true(build_check_attrs(&s->b, OP_ONNX, v, &e));
}

// ---- whole functions -----------------------------------------------------------------
static void finishing_drops_what_nothing_uses(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    nid e = b_unary(b, OP_EXP, s->x);
    b_unary(b, OP_TANH, e); // not used
    b_input(b, "late", type_scalar(ELEM_F32, false));
    nid y = b_binary(b, OP_ADD, e, s->x);
    build_output(b, "y", y);
    struct func *f = builder_finish(b);
    struct text out = {.arena = s->arena}, why = {.arena = s->arena};
    ir_print(f, &out);
    assert_string_equal(out.at, "func @f(%0 \"x\": rows f32[2,3], %1 \"late\": f32[]) {\n"
                                "  %2 = exp(%0) : rows f32[2,3]\n"
                                "  %3 = add(%2, %0) : rows f32[2,3]\n"
                                "  return \"y\" %3\n}\n");
    assert_true(ir_verify(f, FAMILY_TENSOR, &why));
    const uint32_t *uses = func_uses(f, s->arena);
    assert_int_equal(uses[0], 2);
    assert_int_equal(uses[1], 0);
    assert_int_equal(uses[2], 1);
    assert_int_equal(uses[3], 1); // the output
    const bool *reached = func_reached(f, s->arena);
    assert_true(reached[0] && !reached[1] && reached[2] && reached[3]);
}

// y = exp(x) * w, twice x
static struct func *small_net(struct arena *arena) {
    struct builder b;
    float w[] = {1, 2, 3};
    builder_init(&b, arena, "net");
    nid x = b_input(&b, "x", type_tensor(ELEM_F32, true, 2, (size_t[]){2, 3}));
    nid p = b_param(&b, "w", type_tensor(ELEM_F32, false, 2, (size_t[]){1, 3}), w);
    b.name = "activation";
    nid y = b_binary(&b, OP_MUL, b_unary(&b, OP_EXP, x), p);
    build_output(&b, "y", y);
    build_output(&b, "twice", b_binary(&b, OP_ADD, x, x));
    return builder_finish(&b);
}

static void inlining_binds_inputs_in_order(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    const struct func *net = small_net(s->arena);
    nid outs[2], again[2], other[2], arg = b_unary(b, OP_TANH, s->x);
    build_inline(b, net, &arg, outs, false);
    const struct node *y = at(s, outs[0]), *exp = at(s, y->in[0]);
    assert_int_equal(y->op, OP_MUL);
    assert_int_equal(exp->op, OP_EXP);
    assert_string_equal(exp->name, "activation");
    assert_int_equal(exp->in[0], arg);
    assert_int_equal(at(s, y->in[1])->op, OP_CONST);
    assert_int_equal(at(s, outs[1])->op, OP_ADD);
    // The same network over the same argument is the same value.
    build_inline(b, net, &arg, again, false);
    assert_memory_equal(again, outs, sizeof outs);
    build_inline(b, net, &s->x, other, true);
    const struct node *p = at(s, at(s, other[0])->in[1]);
    assert_int_equal(p->op, OP_PARAM);
    assert_string_equal(attr_str(p, "name"), "w");
    assert_true(digest_eq(p->digest, at(s, y->in[1])->digest));
}

// Inlined over constants, a network is one.
static void inlining_folds(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    nid outs[2], zeros = b_const(b, type_tensor(ELEM_F32, false, 2, (size_t[]){2, 3}),
                                 (float[6]){0});
    build_inline(b, small_net(s->arena), &zeros, outs, false);
    assert_int_equal(at(s, outs[0])->op, OP_CONST);
    const float want[] = {1, 2, 3, 1, 2, 3};
    assert_memory_equal(at(s, outs[0])->data, want, sizeof want);
}

// ---- pipelines -----------------------------------------------------------------------
static nid images(struct builder *b, const char *path) {
    struct value v[] = {val_string(path), val_int(32), {0}, val_string("stop")};
    return build_node(b, OP_IMAGES, NULL, 0, v, NULL);
}

static void sets_of_rows_are_told_apart(void **state) {
    struct fixture *s = *state;
    struct builder *b = &s->b;
    nid a = images(b, "a"), other = images(b, "b");
    assert_int_equal(images(b, "a"), a);
    assert_int_not_equal(at(s, a)->type.rowset, 0);
    assert_int_not_equal(at(s, a)->type.rowset, at(s, other)->type.rowset);
    struct model m = {
        .channels = 3, .height = 32, .width = 32, .classes = 10, .digest = {1, 2}};
    double zeros[3] = {0}, ones[] = {1, 1, 1};
    struct value v[OP_MAX_ATTRS] = {val_string("m"), val_floats(zeros, 3),
                                    val_floats(ones, 3), val_string("fp32")};
    nid net = b_onnx(b, v, &m);
    assert_ptr_equal(at(s, net)->model, &m);
    nid loss = build_node(b, OP_LOSS, (nid[]){net, a}, 2, NULL, NULL);
    assert_int_equal(at(s, loss)->type.rowset, at(s, a)->type.rowset);
    struct value top[] = {val_int(3), val_string("class"), val_string("largest")};
    nid best = build_node(b, OP_TOPK, (nid[]){a, loss}, 2, top, NULL);
    assert_int_not_equal(at(s, best)->type.rowset, at(s, a)->type.rowset);
    assert_int_equal(at(s, best)->type.origin_h, 32);
    assert_int_equal(build_node(b, OP_TOPK, (nid[]){a, loss}, 2, top, NULL), best);
    // Another model is another value, whatever its path.
    struct model m2 = m;
    m2.digest.lo++;
    assert_int_not_equal(b_onnx(b, v, &m2), net);
}

// `save(x)` and `save(x, labels = nothing)` are one node.
static void absent_operands_have_one_form(void **state) {
    struct fixture *s = *state;
    nid a = images(&s->b, "a"), two[] = {a, NID_NONE};
    struct value to = val_string("out");
    nid one = build_node(&s->b, OP_SAVE, two, 1, &to, NULL);
    assert_int_equal(build_node(&s->b, OP_SAVE, two, 2, &to, NULL), one);
    assert_int_equal(at(s, one)->nin, 2);
    assert_int_equal(at(s, one)->in[1], NID_NONE);
}

// ---- the op table --------------------------------------------------------------------
static void the_table_is_well_formed(void **state) {
    (void)state;
    for (size_t i = 0; i < OP_COUNT; i++) {
        enum op op = (enum op)i;
        const struct op_info *info = op_info(op);
        assert_int_equal(op_find(info->family, info->name, strlen(info->name)), op);
        assert_true(op_operand_count(op) <= OP_MAX_OPERANDS);
        assert_true(op_attr_count(op) <= OP_MAX_ATTRS);
        assert_true(info->version >= 1 && *info->summary);
        for (size_t k = 0; k < op_attr_count(op); k++) {
            const struct attr_spec *a = &info->attrs[k];
            assert_int_equal(op_attr(op, a->name, strlen(a->name)), k);
            assert_true(a->min <= a->max && a->kind != VAL_NONE);
            assert_true(a->kind == VAL_STRING || (!a->choices && !a->path));
        }
    }
    assert_int_equal(op_find(FAMILY_TENSOR, "pool", 4), OP_COUNT);
    assert_int_equal(op_find(FAMILY_PIPELINE, "pools", 4), OP_POOL);
    assert_int_equal(op_attr(OP_POOL, "windows", 7), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(equal_nodes_are_one),
        TEST(constants_are_their_content),
        TEST(many_nodes_stay_apart),
        TEST(names_go_to_the_next_node_only),
        TEST(shape_arithmetic_folds),
        TEST(only_constants_fold),
        TEST(folding_makes_no_large_values),
        TEST(folding_has_a_budget),
        TEST(what_changes_nothing_is_left_out),
        TEST(what_changes_something_stays),
        TEST(a_row_operand_makes_a_row_value),
        TEST(errors_say_what_is_at_fault),
        TEST(attributes_can_be_checked_alone),
        TEST(finishing_drops_what_nothing_uses),
        TEST(inlining_binds_inputs_in_order),
        TEST(inlining_folds),
        TEST(sets_of_rows_are_told_apart),
        TEST(absent_operands_have_one_form),
        TEST(the_table_is_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
