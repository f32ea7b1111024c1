// Where several values for one param part; shared by sweep.c and program.c.
#ifndef DDG_SWEEP_H
#define DDG_SWEEP_H

// The first comma of s that parts two values, or the end of s: commas in brackets,
// parentheses and quotes do not. A quote opens at the start of s, spaces aside, and in
// brackets; one in the middle of a text is a letter like others.
const char *sweep_comma(const char *s);

#endif
