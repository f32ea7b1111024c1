// The executable that compiled programs begin with: cli/exe, as it was built beside us.
#ifndef DDG_STUB_H
#define DDG_STUB_H

#include <stddef.h>

const void *stub_bytes(size_t *n);

#endif
