// A kpay that is no good in the way that $FAULT says, for tests of upgrades: the new release that one hopes never to ship.
// Without a fault it is kpay, and so the new release that all is well with. Static, so that it needs nothing of its image.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KPAY "/usr/local/bin/kpay"

int main(int argc, char **argv) {
    const char *fault = getenv("FAULT");
    (void)argc;
    if (fault && !strcmp(fault, "crash")) return 1;
    // Ready, and slow: it commits every 400 ms.
    if (fault && !strcmp(fault, "slow")) {
        setenv("KPAY_COMMIT_INTERVAL_MS", "400", 1);
        setenv("KPAY_COMMIT_LINGER_MS", "400", 1);
    }
    argv[0] = "kpay";
    execv(KPAY, argv);
    return 127;
}
