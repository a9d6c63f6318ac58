// Connections that are open and idle, until standard input ends. Each had a byte there and back.
#include <stdio.h>
#include <unistd.h>

#include "load.h"

void hold(const struct options *options) {
    for (int index = 0; index < options->connections; index++) {
        char byte = mode_echo;
        int fd = dial(options->port, true);
        send_all(fd, &byte, 1);
        receive_all(fd, &byte, 1);
    }
    say_begin();
    char byte;
    while (read(0, &byte, 1) > 0) continue;
}
