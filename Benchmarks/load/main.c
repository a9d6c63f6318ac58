#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

static const struct tool {
    const char *name;
    void (*run)(const struct options *);
} tools[] = {{"serve", serve}, {"bulk", bulk}, {"ping", ping}, {"churn", churn}, {"hold", hold}, {"fetch", fetch},
           {"stall", stall}, {"datagrams", echo_datagrams}, {"flood", flood}};

static _Noreturn void usage(void) {
    fputs(
        "usage: load serve --port N [--ports COUNT] [--host ADDRESS]\n"
        "       load bulk --port N --service N --connections N --direction up|down [--seconds S] [--warm S]\n"
        "       load ping|churn --port N --connections N [--seconds S] [--warm S]\n"
        "       load hold --port N --connections N\n"
        "       load stall --port N --service N --connections N --bytes N\n"
        "       load fetch --host ADDRESS --port N --bytes N --count N [--connections N] [--pause S] [--keep 1]\n"
        "       load datagrams --port N --connections FLOWS --count IN-FLIGHT --bytes N [--seconds S] [--warm S]\n"
        "       load flood --port N --service N --bytes N [--seconds S] [--warm S]\n",
        stderr);
    exit(64);
}

static void set(struct options *options, const char *name, const char *value) {
    if (strcmp(name, "--port") == 0) options->port = atoi(value);
    else if (strcmp(name, "--service") == 0) options->service = atoi(value);
    else if (strcmp(name, "--ports") == 0) options->ports = atoi(value);
    else if (strcmp(name, "--connections") == 0) options->connections = atoi(value);
    else if (strcmp(name, "--direction") == 0) options->is_download = strcmp(value, "down") == 0;
    else if (strcmp(name, "--seconds") == 0) options->seconds = atof(value);
    else if (strcmp(name, "--warm") == 0) options->warm = atof(value);
    else if (strcmp(name, "--host") == 0) options->host = value;
    else if (strcmp(name, "--count") == 0) options->count = atoi(value);
    else if (strcmp(name, "--bytes") == 0) options->bytes = strtoull(value, NULL, 10);
    else if (strcmp(name, "--pause") == 0) options->pause = atof(value);
    else if (strcmp(name, "--keep") == 0) options->is_kept = atoi(value) != 0;
    else usage();
}

int main(int count, char **words) {
    struct options options = {
        .ports = 1, .connections = 1, .host = "127.0.0.1", .count = 1, .bytes = 1, .seconds = 1, .warm = 0.2};
    struct rlimit files;
    if (count < 2 || count % 2 != 0) usage();
    for (int index = 2; index + 1 < count; index += 2) set(&options, words[index], words[index + 1]);
    if (options.port < 1 || options.connections < 1 || options.connections > most_connections - 64) usage();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    // A visitor that hangs is ended by SIGALRM; the service and what is held end with their parent.
    if (strcmp(words[1], "serve") != 0 && strcmp(words[1], "hold") != 0 && strcmp(words[1], "stall") != 0)
        alarm((unsigned)(options.seconds + options.warm) + 30 + (unsigned)(options.count * options.pause));
    for (size_t index = 0; index < sizeof tools / sizeof *tools; index++)
        if (strcmp(words[1], tools[index].name) == 0) {
            tools[index].run(&options);
            return 0;
        }
    usage();
}
