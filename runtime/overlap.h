// Results that lie in one another: which of two would stay?
#ifndef DDG_OVERLAP_H
#define DDG_OVERLAP_H

enum overlap { OVERLAP_NONE, OVERLAP_SAME, OVERLAP_INSIDE, OVERLAP_AROUND };

// How place a lies to place b, as far as their names tell.
enum overlap path_overlap(const char *a, const char *b);

#endif
