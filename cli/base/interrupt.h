// Ctrl-C: the first signal asks the run to stop, the second ends the process at once.
#ifndef DDG_INTERRUPT_H
#define DDG_INTERRUPT_H

#include <stdatomic.h>

// From here on SIGINT and SIGTERM set the flag returned (unless the process was started
// with them ignored).
const atomic_bool *interrupt_catch(void);
// Ends the process by the signal that came, so that shells see what happened.
_Noreturn void interrupt_end(void);

#endif
