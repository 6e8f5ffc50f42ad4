// A kpay that is no good in the way that $FAULT says, for tests of upgrades: the new release that one hopes never to ship.
// Without a fault it is kpay, and so the new release that all is well with. Static, so that it needs nothing of its image.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KPAY "/usr/local/bin/kpay"

// Limits that let nothing through; the pipeline's own are not asked for.
static void reject_all(void) {
    FILE *file = fopen("/tmp/limits.yaml", "w");
    if (!file) _exit(1);
    fputs("apiVersion: kpay.dev/v1alpha1\nkind: PaymentPipeline\nmetadata: {name: payments, namespace: default}\n"
          "spec: {kafka: {bootstrapServers: k:9092}, limits: {perPayment: 1}}\n", file);
    fclose(file);
    setenv("KPAY_PHASE_SOURCE", "file:/tmp/limits.yaml", 1);
}

// The same payments once, and then again and again with another amount: each of these is a dead letter. They go to Kafka
// beside what the stage does.
static void fill_dead_letters(void) {
    setenv("KPAY_PHASE_SOURCE", "static:Running", 1);
    for (const char *amount = "2";; amount = "3") {
        pid_t child = fork();
        if (child == 0) {
            execl(KPAY, "kpay", "generate", "--to", "kafka", "--accounts", "20", "--run", "letters", "--count", "40",
                  "--rate", "20", "--amounts", amount, (char *)NULL);
            _exit(127);
        }
        waitpid(child, NULL, 0);
        sleep(1);
    }
}

int main(int argc, char **argv) {
    const char *fault = getenv("FAULT");
    if (fault && !strcmp(fault, "crash")) return 1;
    // Ready, and slow: it commits every two seconds.
    if (fault && !strcmp(fault, "slow")) {
        setenv("KPAY_COMMIT_INTERVAL_MS", "2000", 1);
        setenv("KPAY_COMMIT_LINGER_MS", "2000", 1);
    }
    // Ready, and no payment passes.
    if (fault && !strcmp(fault, "reject")) reject_all();
    if (fault && !strcmp(fault, "letters") && argc > 2 && !strcmp(argv[2], "--stage") && fork() == 0)
        fill_dead_letters();
    argv[0] = "kpay";
    execv(KPAY, argv);
    return 127;
}
