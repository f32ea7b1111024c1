// Tokens of the text form, private to ir/.
#ifndef DDG_IR_LEX_H
#define DDG_IR_LEX_H

#include "runtime/base/diag.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,   // letters, digits and _, not beginning with a digit
    TOKEN_NUMBER, // begins with a digit or -; its form is checked where it is read
    TOKEN_STRING, // with its quotes
    TOKEN_VALUE,  // %12
    TOKEN_ARROW,  // ->
    TOKEN_SIGN,   // any other one character
};

struct token {
    enum token_kind kind;
    const char *at;
    size_t n;
};

struct lexer {
    const struct source *src;
    struct diags *d;
    size_t pos;       // just behind `now`
    struct token now; // the token not yet taken
    size_t last_end;  // where the one taken before it ended
};

void lex_init(struct lexer *l, const struct source *src, struct diags *d);
void lex_next(struct lexer *l); // takes `now`
bool lex_is(const struct lexer *l, const char *text);
bool lex_accept(struct lexer *l, const char *text);
bool lex_expect(struct lexer *l, const char *text);
struct span lex_span(const struct lexer *l); // of `now`
// "expected WHAT, found ..." at `now`; returns false.
bool lex_expected(struct lexer *l, const char *what);

// Each takes `now` when it is of its form, or says what was expected.
bool lex_string(struct lexer *l, struct arena *arena, const char **out);
bool lex_word(struct lexer *l, const char *what, struct token *out);
bool lex_value_id(struct lexer *l, size_t *out);
bool lex_int(struct lexer *l, int64_t *out);
bool lex_uint(struct lexer *l, uint64_t *out);
bool lex_double(struct lexer *l, double *out);
bool lex_float(struct lexer *l, float *out);
bool lex_digest(struct lexer *l, struct digest *out);

#endif
