// From kernels to a plan's functions: constants laid out in one block, packed as the kernels
// that read them want, and every kernel a call with its buffers.
#ifndef DDG_ASSEMBLE_H
#define DDG_ASSEMBLE_H

#include "codegen/codegen.h"

// Fills plan->funcs[i] from kfuncs[i], and plan->consts; asks cg for the kernels' code.
bool assemble(struct codegen *cg, const struct target *t,
              const struct kfunc *const *kfuncs, struct plan *plan, struct arena *arena,
              struct diags *d);
// Looks the code up after codegen_finish.
bool assemble_link(struct codegen *cg, struct plan *plan, struct diags *d);

#endif
