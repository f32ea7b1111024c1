// Setting a plan's params: every value that follows from them is worked out again and put
// where it is used.
#ifndef DDG_SETTINGS_H
#define DDG_SETTINGS_H

#include "runtime/plan.h"

// Index of the late value of that formula, listed when it is not yet. at: the attribute
// it is, or NULL. v.of is not NULL.
uint32_t plan_late_of(struct arena *a, struct plan *p, const struct value *v,
                      const struct plan_late *at);
void plan_use_late(struct arena *a, struct plan *p, enum use_place place, uint32_t ia,
                   uint32_t ib, uint32_t ic, uint32_t late);

// Params by name, as text: "0.2", "[1, 2]", "true", out/folder. Everything is checked
// before anything changes. Paths start at the current directory. False: said in d, with
// spans into the setting ("--sigma=0.2") and into the program.
struct setting {
    const char *name, *value;
    const char *form; // before the name in messages: "--", "-D "; NULL: nothing
};
bool plan_set(struct arena *a, struct plan *p, const struct setting *settings, size_t n,
              struct diags *d);
// Works all late values out and puts them where they are used: for after code was loaded,
// which brings more of both.
void plan_settle(struct arena *a, struct plan *p);

// The text of a literal ("0.2", "1e-3", "[8, 16]", "true", "\"a\"" or a bare string) as a
// value of that kind. False: said in why what was expected.
bool value_parse(struct arena *a, const char *text, enum value_kind kind,
                 struct value *out, const char **why);
// The text that value_parse reads back: what help shows as a default.
const char *value_literal(struct arena *a, const struct value *v);
// The first comma of s that parts two values of a sweep, or the end of s: commas in
// brackets, parentheses and quotes do not. A quote opens at the start of s, spaces aside,
// and in brackets; one in the middle of a text is a letter like others.
const char *literal_comma(const char *s);
// The number that text begins with, a decimal point being a point whatever the locale
// says.
double literal_number(const char *text);

#endif
