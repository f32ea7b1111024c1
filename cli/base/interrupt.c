// See interrupt.h. A signal handler can reach nothing but globals: these two are the only
// ones that ddg has.
#include "cli/base/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

static const int signals[] = {SIGINT, SIGTERM};
static atomic_bool stop;
static volatile sig_atomic_t came;

static void set_all(const struct sigaction *action) {
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction old;
        if (sigaction(signals[i], NULL, &old) != 0) continue;
        if (old.sa_handler != SIG_IGN) sigaction(signals[i], action, NULL);
    }
}

static void on_signal(int sig) {
    static const char text[] = "\nddg: stopping; once more to end at once\n";
    struct sigaction action = {.sa_handler = SIG_DFL};
    int before = errno;
    came = sig;
    atomic_store(&stop, true);
    set_all(&action);
    ssize_t wrote = write(STDERR_FILENO, text, sizeof text - 1);
    (void)wrote; // words that cannot be written are no reason to go on
    errno = before;
}

const atomic_bool *interrupt_catch(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    set_all(&action);
    return &stop;
}

_Noreturn void interrupt_end(void) {
    signal(came, SIG_DFL);
    raise(came);
    _exit(128 + came); // it was blocked
}
