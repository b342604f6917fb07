/* What runs inside of the tests' containers: a static program that tries things and tells what came of it.
 *
 * `probe COMMAND [ARGUMENT]... [, COMMAND [ARGUMENT]...]...`: the commands run one after the other, each prints one line or more. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void say(const char *what, int result) {
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: ok\n", what);
}

static struct sockaddr_in place(const char *address, const char *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    inet_pton(AF_INET, address, &at.sin_addr);
    return at;
}

/* Echoes what comes over TCP, for ever. */
static void listen_on(const char *address, const char *port) {
    struct pollfd fds[64];
    int count = 1, one = 1;
    struct sockaddr_in at = place(address, port);
    signal(SIGPIPE, SIG_IGN);
    fds[0].fd = socket(AF_INET, SOCK_STREAM, 0);
    fds[0].events = POLLIN;
    setsockopt(fds[0].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fds[0].fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fds[0].fd, 16) < 0) {
        say("listen", -1);
        exit(1);
    }
    for (;;) {
        poll(fds, count, -1);
        for (int i = count - 1; i > 0; i--) {
            char buffer[4096];
            if (!fds[i].revents)
                continue;
            ssize_t n = read(fds[i].fd, buffer, sizeof buffer);
            if (n <= 0 || write(fds[i].fd, buffer, n) != n) {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        }
        if (fds[0].revents && count < 64) {
            fds[count].fd = accept(fds[0].fd, NULL, NULL);
            fds[count].events = POLLIN;
            fds[count].revents = 0;
            if (fds[count].fd >= 0)
                count++;
        }
    }
}

static void connect_to(const char *address, const char *port) {
    struct sockaddr_in at = place(address, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
    socklen_t length = sizeof error;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0 && errno != EINPROGRESS) {
        say("connect", -1);
    } else if (poll(&wait, 1, 1500) == 0) {
        puts("connect: no answer");
    } else {
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        errno = error;
        say("connect", error ? -1 : 0);
    }
    close(fd);
}

/* Asks a resolver for a name; any answer will do. */
static void ask(const char *address, const char *name) {
    unsigned char packet[512] = {0x12, 0x34, 1, 0, 0, 1}, *p = packet + 12;
    struct sockaddr_in at = place(address, "53");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    for (const char *dot; *name; name = *dot ? dot + 1 : dot) {
        dot = strchrnul(name, '.');
        *p++ = dot - name;
        p = mempcpy(p, name, dot - name);
    }
    memcpy(p, "\0\0\1\0\1", 5);
    if (sendto(fd, packet, p + 5 - packet, 0, (struct sockaddr *)&at, sizeof at) < 0)
        say("ask", -1);
    else
        puts(poll(&wait, 1, 5000) == 1 && recv(fd, packet, sizeof packet, 0) > 12 ? "ask: ok" : "ask: no answer");
    close(fd);
}

static void cat(const char *path) {
    char buffer[65536];
    int fd = open(path, O_RDONLY);
    ssize_t n;
    if (fd < 0) {
        say("cat", -1);
        return;
    }
    fflush(stdout);
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        if (write(1, buffer, n) != n)
            break;
    close(fd);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    say("write", fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0);
    if (fd >= 0)
        close(fd);
}

static void fill(const char *path, long long bytes) {
    static char block[65536];
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    memset(block, 7, sizeof block);
    for (long long done = 0; done < bytes; done += sizeof block)
        if (fd < 0 || write(fd, block, sizeof block) < 0) {
            say("fill", -1);
            return;
        }
    puts("fill: ok");
}

static void eat(long long bytes) {
    for (long long done = 0; done < bytes; done += 1 << 20) {
        char *memory = malloc(1 << 20);
        if (memory)
            memset(memory, 7, 1 << 20);
    }
    puts("eat: ok");
}

static void forks(int wanted) {
    int made = 0;
    fflush(stdout);
    while (made < wanted) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                pause();
        if (child < 0)
            break;
        made++;
    }
    printf("forks: %d\n", made);
}

/* Grandchildren in sessions of their own, which ignore every signal that can be ignored. */
static void tree(void) {
    fflush(stdout);
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            setsid();
            for (int signal_number = 1; signal_number < 32; signal_number++)
                signal(signal_number, SIG_IGN);
            fork();
            for (;;)
                sleep(1000);
        }
}

static void stop(int signal_number) {
    (void)signal_number;
    static const char text[] = "stopping\n";
    if (write(1, text, sizeof text - 1) < 0)
        _exit(1);
    _exit(0);
}

static int is(const char *command, const char *name, int count, int wanted) {
    return !strcmp(command, name) && count == wanted;
}

static void run(char **a, int n) {
    const char *c = a[0];
    if (is(c, "listen", n, 2)) listen_on("0.0.0.0", a[1]);
    else if (is(c, "listen-on", n, 3)) listen_on(a[1], a[2]);
    else if (is(c, "exit", n, 2)) { fflush(stdout); exit(atoi(a[1])); }
    else if (is(c, "print", n, 3)) { puts(a[1]); fprintf(stderr, "%s\n", a[2]); }
    else if (is(c, "sleep", n, 1)) for (;;) sleep(1000);
    else if (is(c, "spin", n, 1)) for (;;) {}
    else if (is(c, "pause", n, 2)) usleep(atoi(a[1]) * 1000);
    else if (is(c, "on-term", n, 1)) signal(SIGTERM, stop);
    else if (is(c, "ignore-term", n, 1)) signal(SIGTERM, SIG_IGN);
    else if (is(c, "raise", n, 2)) raise(atoi(a[1]));
    else if (is(c, "abort-child", n, 1)) { if (fork() == 0) abort(); wait(NULL); }
    else if (is(c, "connect", n, 3)) connect_to(a[1], a[2]);
    else if (is(c, "ask", n, 3)) ask(a[1], a[2]);
    else if (is(c, "cat", n, 2)) cat(a[1]);
    else if (is(c, "echo-input", n, 1)) cat("/dev/stdin");
    else if (is(c, "write", n, 3)) put(a[1], a[2]);
    else if (is(c, "fill", n, 3)) fill(a[1], atoll(a[2]));
    else if (is(c, "eat", n, 2)) eat(atoll(a[1]));
    else if (is(c, "forks", n, 2)) forks(atoi(a[1]));
    else if (is(c, "tree", n, 1)) tree();
    else if (is(c, "mkdir", n, 2)) say(c, mkdir(a[1], 0755));
    else if (is(c, "remove", n, 2)) say(c, remove(a[1]));
    else if (is(c, "link", n, 3)) say(c, link(a[1], a[2]));
    else if (is(c, "symlink", n, 3)) say(c, symlink(a[1], a[2]));
    else if (is(c, "chown", n, 3)) say(c, chown(a[1], atoi(a[2]), atoi(a[2])));
    else if (is(c, "chmod", n, 3)) say(c, chmod(a[1], strtol(a[2], NULL, 8)));
    else if (is(c, "chroot", n, 2)) say(c, chroot(a[1]));
    else if (is(c, "setuid", n, 2)) say(c, setgroups(0, NULL) | setgid(atoi(a[1])) | setuid(atoi(a[1])));
    else if (is(c, "mknod", n, 2)) say(c, mknod(a[1], S_IFCHR | 0600, makedev(1, 3)));
    else if (is(c, "mount", n, 2)) say(c, mount("none", a[1], "tmpfs", 0, NULL));
    else if (is(c, "remount", n, 2)) say(c, mount("none", a[1], NULL, MS_REMOUNT | MS_BIND, NULL));
    else if (is(c, "unshare", n, 1)) say(c, unshare(CLONE_NEWUSER));
    else if (is(c, "hostname", n, 1)) { char name[256]; gethostname(name, sizeof name); puts(name); }
    else if (is(c, "cwd", n, 1)) puts(getcwd(NULL, 0));
    else if (is(c, "ids", n, 1)) printf("uid %d pid %d\n", getuid(), getpid());
    else if (is(c, "env", n, 1)) for (char **e = environ; *e; e++) puts(*e);
    else if (is(c, "stat", n, 2)) { struct stat s; if (stat(a[1], &s) < 0) say(c, -1); else printf("uid %d mode %o size %lld\n", s.st_uid, s.st_mode, (long long)s.st_size); }
    else { printf("no such command: %s\n", c); exit(99); }
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int start = 1; start < argc;) {
        int end = start;
        while (end < argc && strcmp(argv[end], ","))
            end++;
        run(argv + start, end - start);
        start = end + 1;
    }
    return 0;
}
