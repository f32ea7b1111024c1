// From kernels to a plan's functions, some at a time, as a run comes to need them: every
// kernel a call with its buffers, constants packed as the kernels that read them want.
#ifndef DDG_ASSEMBLE_H
#define DDG_ASSEMBLE_H

#include "codegen/codegen.h"

struct assembly;

// Everything lies in arena; cg makes the code and outlives the assembly. most: bytes of
// constants above which those are given back that only functions read which the next
// assembly_finish is not asked for; they are loaded no more, until they are wanted again.
struct assembly *assembly_new(struct arena *arena, struct codegen *cg,
                              const struct target *t, struct plan *plan, size_t most);
// Where the time it and its codegen take is written down; NULL: nowhere.
void assembly_times(struct assembly *a, struct timeline *times);
// Fills plan->funcs[i] from its kernels and asks for their code. kf must live as long.
// It is wanted, too.
bool assembly_add(struct assembly *a, size_t i, const struct kfunc *kf, struct diags *d);
// plan->funcs[i], added before, is to be ready after the next assembly_finish.
void assembly_want(struct assembly *a, size_t i);
// Makes what was added or wanted since the last call ready to run: writes its constants,
// compiles on `threads` threads, looks the code up.
bool assembly_finish(struct assembly *a, size_t threads, struct diags *d);
// Ahead of time, instead of assembly_finish: writes the constants, compiles everything
// into an image and fills in the calls' entries. Nothing can be run here.
bool assembly_image(struct assembly *a, size_t threads, struct codegen_image *out,
                    struct diags *d);

#endif
