// A kpay that is no good in the way that $FAULT says, for tests of upgrades: the new release that one hopes never to ship.
// Without a fault it is kpay, and so the new release that all is well with. Static, so that it needs nothing of its image.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KPAY "/usr/local/bin/kpay"

static int runs(char **argv, const char *stage) {
    for (; *argv; argv++)
        if (!strcmp(*argv, stage)) return 1;
    return 0;
}

int main(int argc, char **argv) {
    const char *fault = getenv("FAULT");
    (void)argc;
    if (fault && !strcmp(fault, "crash")) return 1;
    // Ready, and slow: it commits every 400 ms.
    if (fault && !strcmp(fault, "slow")) {
        setenv("KPAY_COMMIT_INTERVAL_MS", "400", 1);
        setenv("KPAY_COMMIT_LINGER_MS", "400", 1);
    }
    // Ready, and refuses all: the accounts are told of a rule of their own.
    if (fault && !strcmp(fault, "reject") && runs(argv, "account"))
        setenv("KPAY_PHASE_SOURCE", "file:/etc/kpay/reject.yaml", 1);
    // Ready, and writes what nobody can read.
    if (fault && !strcmp(fault, "letters") && runs(argv, "confirmed") && fork() == 0) {
        sleep(2);
        execl(KPAY, "kpay", "generate", "--to", "kafka", "--invalid", "100%", "--rate", "50", (char *)NULL);
        return 1;
    }
    argv[0] = "kpay";
    execv(KPAY, argv);
    return 127;
}
