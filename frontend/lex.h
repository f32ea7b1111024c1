// Program text to tokens.
//
// The lexer keeps no state: it reads the token at a place, so looking ahead is reading
// twice. Nothing is reported from here; a token that is wrong says why, and the parser
// reports it when it gets there.
#ifndef DDG_LEX_H
#define DDG_LEX_H

#include "runtime/base/diag.h"

// A token's kind is its character ('(', ',', '=', '+', ...) or one of these.
enum token_kind {
    TOK_END = 256,
    TOK_NEWLINE, // or `;`
    TOK_BAD,
    TOK_NAME,
    TOK_INT,
    TOK_FLOAT,
    TOK_STRING,
    TOK_FLOOR_DIVIDE, // "//"
    TOK_PARAM,
    TOK_DEF,
    TOK_RETURN,
    TOK_IMPORT,
    TOK_TRUE,
    TOK_FALSE,
    TOK_NONE,
    TOK_FOR,
    TOK_IN,
};

struct token {
    int kind;
    size_t start, end;
    const char *text;          // TOK_NAME: itself; TOK_STRING: its value
    int64_t i;                 // TOK_INT
    double f;                  // TOK_FLOAT
    size_t doc_start, doc_end; // TOK_NEWLINE, TOK_END: the comment before it, or nothing
    // TOK_BAD: what is wrong, and with which bytes
    const char *error, *help;
    size_t error_start, error_end;
};

// Text is read only when it passes this: UTF-8 without control characters.
bool lex_check_text(const struct source *s, struct diags *d);
// The first token at or after a byte offset.
struct token lex_token(struct arena *a, const struct source *s, size_t at);
// What a token is called in a message: "`)`", "the end of the line".
const char *token_describe(struct arena *a, const struct source *s,
                           const struct token *t);

#endif
