/* Load for the benchmark: a sender with pre-encoded packets and a sink that checks what arrives. MQTT 3.1.1, QoS 1.
 *
 *   load send -p PORT [-n COUNT] [-c CONNECTIONS] [-w WINDOW] [-d DEVICES] [-r RATE] [-s FIRST_SEQ] [-b BYTES] [-f TOPIC]
 *             [-t TIMEOUT_S]
 *   load sink -p PORT [-n COUNT] [-s FIRST_SEQ] [-d DEVICES] [-S SPLIT] [-f FILTER] [-C CLIENT_ID] [-l LINGER_S] [-i IDLE_S]
 *             [-t TIMEOUT_S]
 *
 * send: event i (seq = FIRST_SEQ + i) belongs to device i % DEVICES and travels on connection i % CONNECTIONS, so a device
 *   keeps to one connection (DEVICES must be a multiple of CONNECTIONS). Every packet is encoded before the clock starts;
 *   while it runs a refill is one write() of neighbouring packets. Without RATE: as fast as PUBACKs open the window.
 *   With RATE: event i is due at start + i / RATE whatever happened before (open loop), and bears that time as its "ts".
 * sink: finds every "seq": in a payload (a payload may hold many events), PUBACKs each packet, counts missing, duplicate and
 *   foreign events and breaks of order within a device; latency is arrival minus the "ts": that follows the seq. SPLIT cuts the run
 *   in two, events below it (a backlog) and from it on (live), reported apart. CLIENT_ID asks for a persistent session.
 *
 * Times are CLOCK_MONOTONIC in microseconds plus 10^15: always 16 digits, the same clock in both, no steps. The sink prints READY
 * when it is subscribed, FIRST when something came. The last line is one JSON object. Exit: 0 complete, 3 incomplete, 2 failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_BASE_US UINT64_C(1000000000000000)
#define TS_DIGITS 16
#define MAX_TOPIC 200

static struct {
    int port, connections, window, devices, bytes;
    long count, first_seq, split;
    double rate, timeout_s, idle_s, linger_s;
    const char *topic, *client_id;
} opt = {.connections = 4, .window = 100, .devices = 100, .bytes = 120, .count = 200000, .split = -1,
         .timeout_s = 120, .idle_s = 10, .linger_s = 0.3};

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void refuse(const char *what, int number) {
    fprintf(stderr, "load: %s (%d)\n", what, number);
    exit(2);
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return CLOCK_BASE_US + (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void *must_alloc(size_t size) {
    void *block = calloc(1, size ? size : 1);
    if (!block) fail("memory");
    return block;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* A sample of times in microseconds, and its quantiles as JSON members. */
struct sample { uint32_t *us; long size; };

static void print_quantiles(const char *name, struct sample *s) {
    static const struct { const char *label; double at; } quantile[] = {{"p50", 0.50}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1.0}};
    qsort(s->us, (size_t)s->size, sizeof *s->us, by_value);
    for (size_t i = 0; i < sizeof quantile / sizeof *quantile; i++) {
        long rank = (long)(quantile[i].at * (double)(s->size - 1));
        if (s->size) printf(",\"%s_%s_ms\":%.3f", name, quantile[i].label, s->us[rank] / 1e3);
        else printf(",\"%s_%s_ms\":null", name, quantile[i].label);
    }
}

/* ---------------------------------------------------------------- connection set-up (blocking) */

static void write_all(int fd, const uint8_t *bytes, size_t size) {
    for (ssize_t n; size; bytes += n, size -= (size_t)n)
        if ((n = write(fd, bytes, size)) <= 0) fail("write");
}

static void read_exactly(int fd, uint8_t *bytes, size_t size) {
    for (ssize_t n; size; bytes += n, size -= (size_t)n)
        if ((n = read(fd, bytes, size)) <= 0) fail("the peer hung up during the handshake");
}

static size_t put_string(uint8_t *out, const char *text, size_t length) {
    out[0] = (uint8_t)(length >> 8), out[1] = (uint8_t)length;
    memcpy(out + 2, text, length);
    return length + 2;
}

static int open_session(const char *client_id, int is_clean, int *has_session) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t deadline = now_us() + (uint64_t)(opt.timeout_s * 1e6);
    int fd, on = 1;
    for (;; usleep(2000)) { /* the peer may not be up yet */
        if ((fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) fail("socket");
        if (!connect(fd, (void *)&address, sizeof address)) break;
        close(fd);
        if (now_us() > deadline) fail("connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    uint8_t packet[128] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, is_clean ? 2 : 0, 600 >> 8, 600 & 255}, answer[4];
    size_t size = 12 + put_string(packet + 12, client_id, strlen(client_id));
    packet[1] = (uint8_t)(size - 2);
    write_all(fd, packet, size);
    read_exactly(fd, answer, 4);
    if (answer[0] != 0x20 || answer[3]) refuse("the connection was refused", answer[3]);
    if (has_session) *has_session = answer[2] & 1;
    return fd;
}

/* ---------------------------------------------------------------- send */

struct connection {
    int fd, wants_write, partial;
    uint8_t *packets;           /* all of them, each packet_size long */
    size_t written;             /* bytes of `packets` given to the kernel */
    long count, due, acked;     /* packets: in all, allowed by the schedule (= count without one), acknowledged */
    uint8_t rest[4];            /* a PUBACK cut by the end of a read */
};

static size_t packet_size;
static int epoll_fd;

/* Encode one PUBLISH and answer its size; all packets of a run have the same size. */
static size_t encode(uint8_t *out, long index, long nth_of_connection) {
    char topic[MAX_TOPIC], body[256];
    int device = (int)(index % opt.devices), id = (int)(nth_of_connection % 65535) + 1;
    int topic_size = snprintf(topic, sizeof topic, opt.topic, device);
    size_t at = 0, remaining = 2 + (size_t)topic_size + 2 + (size_t)opt.bytes;
    out[at++] = 0x32;
    do { out[at] = remaining & 127, remaining >>= 7, out[at] |= remaining ? 128 : 0, at++; } while (remaining);
    at += put_string(out + at, topic, (size_t)topic_size);
    out[at++] = (uint8_t)(id >> 8), out[at++] = (uint8_t)id;
    int used = snprintf(body, sizeof body, "{\"seq\":%ld,\"ts\":", opt.first_seq + index);
    used += snprintf(body + used, sizeof body - (size_t)used, "%" PRIu64 ",\"temperature\":%d.%d,\"humidity\":%d.%d,\"device\":\"d%03d\",\"note\":\"",
                     CLOCK_BASE_US, 18 + (int)(index % 9), (int)(index % 10), 40 + (int)(index % 30), (int)(index % 7), device);
    if (used + 2 > opt.bytes) refuse("the payload does not fit in the bytes asked for; it needs", used + 2);
    memcpy(out + at, body, (size_t)used);
    memset(out + at + used, 'x', (size_t)(opt.bytes - used - 2));
    memcpy(out + at + opt.bytes - 2, "\"}", 2);
    return at + (size_t)opt.bytes;
}

static void stamp(uint8_t *packet, uint64_t at_us) {
    uint8_t *digits = memmem(packet, packet_size, "\"ts\":", 5);
    for (int i = TS_DIGITS - 1; i >= 0; i--, at_us /= 10) digits[5 + i] = (uint8_t)('0' + at_us % 10);
}

static void prepare(struct connection *c, int number) {
    uint8_t first[MAX_TOPIC + 70000];
    packet_size = encode(first, number, 0);
    c->count = opt.count / opt.connections + (number < opt.count % opt.connections);
    c->due = opt.rate > 0 ? 0 : c->count;
    c->packets = must_alloc(packet_size * (size_t)c->count);
    for (long k = 0; k < c->count; k++)
        if (encode(c->packets + packet_size * (size_t)k, k * opt.connections + number, k) != packet_size) refuse("topics differ in length", 0);
}

static void watch(struct connection *c, int operation, int wants_write) {
    struct epoll_event event = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event)) fail("epoll");
    c->wants_write = wants_write;
}

/* Hand the kernel what window and schedule allow. */
static void refill(struct connection *c) {
    long allowed = c->acked + opt.window < c->due ? c->acked + opt.window : c->due;
    size_t limit = packet_size * (size_t)allowed;
    while (c->written < limit) {
        ssize_t n = write(c->fd, c->packets + c->written, limit - c->written);
        if (n < 0 && errno != EAGAIN) fail("the peer hung up");
        if (n < 0) break;
        c->written += (size_t)n;
    }
    if (c->wants_write != (c->written < limit)) watch(c, EPOLL_CTL_MOD, c->written < limit);
}

/* Count PUBACKs; they must come in the order of the PUBLISHes [MQTT-4.6.0-2]. Returns how many did not. */
static long take_pubacks(struct connection *c, int number, uint64_t start_us, struct sample *latency) {
    uint8_t bytes[65536];
    long disorder = 0;
    memcpy(bytes, c->rest, (size_t)c->partial);
    ssize_t n = read(c->fd, bytes + c->partial, sizeof bytes - (size_t)c->partial);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) fail("the peer hung up");
    size_t size = (size_t)n + (size_t)c->partial, at = 0;
    uint64_t now = now_us();
    for (; at + 4 <= size; at += 4, c->acked++) {
        if (bytes[at] != 0x40 || bytes[at + 1] != 2) refuse("expected nothing but PUBACKs", bytes[at]);
        disorder += (bytes[at + 2] << 8 | bytes[at + 3]) != (int)(c->acked % 65535) + 1;
        uint64_t due_after_us = opt.rate > 0 ? (uint64_t)((double)(c->acked * opt.connections + number) * 1e6 / opt.rate) : 0;
        if (opt.rate > 0) latency->us[latency->size++] = (uint32_t)(now - start_us - due_after_us);
    }
    c->partial = (int)(size - at);
    memcpy(c->rest, bytes + at, size - at);
    return disorder;
}

/* Release what is due by now; answers the time of the next event that is not, 0 when none is left. */
static uint64_t run_schedule(struct connection *all, uint64_t start_us, long *released) {
    uint64_t now = now_us(), due_us = 0;
    for (; *released < opt.count; ++*released) {
        if ((due_us = start_us + (uint64_t)((double)*released * 1e6 / opt.rate)) > now) return due_us;
        struct connection *c = all + *released % opt.connections;
        stamp(c->packets + packet_size * (size_t)c->due++, due_us);
    }
    return 0;
}

static int run_send(void) {
    struct connection *all = must_alloc(sizeof *all * (size_t)opt.connections);
    struct sample latency = {must_alloc(sizeof(uint32_t) * (size_t)opt.count), 0};
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < opt.connections; i++) {
        char client_id[64];
        snprintf(client_id, sizeof client_id, "load-%d-%d", (int)getpid(), i);
        prepare(all + i, i);
        all[i].fd = open_session(client_id, 1, NULL);
        fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
        watch(all + i, EPOLL_CTL_ADD, 0);
    }
    struct epoll_event events[64], tick = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &tick);
    uint64_t start = now_us(), last_ack = start, deadline = start + (uint64_t)(opt.timeout_s * 1e6);
    long acked = 0, disorder = 0, released = 0;
    for (int is_first = 1; acked < opt.count && now_us() < deadline; is_first = 0) {
        int n = is_first ? 0 : epoll_wait(epoll_fd, events, 64, 200), is_tick = is_first;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) { is_tick = read(timer_fd, &(uint64_t){0}, 8) == 8; continue; }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                long before = c->acked;
                disorder += take_pubacks(c, (int)(c - all), start, &latency);
                if (c->acked > before) acked += c->acked - before, last_ack = now_us();
            }
            refill(c);
        }
        if (!is_tick) continue;
        uint64_t next = opt.rate > 0 ? run_schedule(all, start, &released) : 0;
        for (int i = 0; i < opt.connections; i++) refill(all + i);
        struct itimerspec when = {.it_value = {(time_t)((next - CLOCK_BASE_US) / 1000000), (long)((next - CLOCK_BASE_US) % 1000000) * 1000}};
        if (next) timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    }
    for (int i = 0; i < opt.connections; i++) (void)!write(all[i].fd, "\xe0", 2);
    printf("{\"acked\":%ld,\"ack_disorder\":%ld,\"start_us\":%" PRIu64 ",\"last_ack_us\":%" PRIu64, acked, disorder, start, last_ack);
    print_quantiles("ack", &latency);
    printf("}\n");
    return acked == opt.count ? 0 : 3;
}

/* ---------------------------------------------------------------- sink */

/* What is known of the events below (0) or from (1) the split. */
struct part { long unique; uint64_t first_us, last_us; struct sample latency; };

static struct part parts[2];
static uint8_t *seen;
static long *newest; /* per device: highest index that arrived */
static long duplicates, foreign, disorder, packets, payload_bytes;

static void take_payload(const char *at, const char *end, uint64_t now) {
    packets++, payload_bytes += end - at;
    while ((at = memmem(at, (size_t)(end - at), "\"seq\":", 6))) {
        char *rest;
        long index = strtol(at += 6, &rest, 10) - opt.first_seq;
        if (index < 0 || index >= opt.count) { foreign++; continue; }
        if (seen[index]) { duplicates++; continue; }
        seen[index] = 1;
        struct part *part = parts + (index >= opt.split);
        long *device_newest = newest + index % opt.devices + (index >= opt.split ? opt.devices : 0);
        if (index < *device_newest) disorder++;
        else *device_newest = index;
        if (!part->unique++) {
            part->first_us = now;
            if (part == parts) printf("FIRST\n"), fflush(stdout);
        }
        part->last_us = now;
        const char *ts = memmem(rest, (size_t)(end - rest), "\"ts\":", 5);
        uint64_t sent = ts ? strtoull(ts + 5, NULL, 10) : 0;
        if (sent > CLOCK_BASE_US) part->latency.us[part->latency.size++] = now > sent ? (uint32_t)(now - sent) : 0;
    }
}

/* Take the complete packets of `bytes`, write their PUBACKs to `acks`; answers the bytes used. */
static size_t take_packets(char *bytes, size_t size, uint8_t *acks, size_t *acks_size, uint64_t now) {
    size_t at = 0;
    for (;;) {
        size_t remaining = 0, header = 1;
        int is_whole = 0;
        while (at + header < size && header < 5 && !is_whole) {
            uint8_t digit = (uint8_t)bytes[at + header];
            remaining |= (size_t)(digit & 127) << 7 * (header - 1);
            is_whole = !(digit & 128), header++;
        }
        if (!is_whole || size - at < header + remaining) return at;
        char *body = bytes + at + header, *end = body + remaining;
        uint8_t first = (uint8_t)bytes[at];
        if (first >> 4 == 3) {
            body += 2 + ((uint8_t)body[0] << 8 | (uint8_t)body[1]);
            if (first & 6) {
                memcpy(acks + *acks_size, (uint8_t[]){0x40, 2, (uint8_t)body[0], (uint8_t)body[1]}, 4);
                *acks_size += 4, body += 2;
            }
            take_payload(body, end, now);
        }
        at += header + remaining;
    }
}

static void subscribe(int fd) {
    uint8_t packet[128] = {0x82, 0, 0, 1}, answer[5];
    size_t size = 4 + put_string(packet + 4, opt.topic, strlen(opt.topic));
    packet[size++] = 1;
    packet[1] = (uint8_t)(size - 2);
    write_all(fd, packet, size);
    read_exactly(fd, answer, 5);
    if (answer[0] != 0x90 || answer[4] != 1) refuse("the subscription was refused", answer[4]);
}

static void print_part(const char *name, struct part *p) {
    double span_s = (double)(p->last_us - p->first_us) / 1e6;
    printf(",\"%s\":{\"unique\":%ld,\"first_us\":%" PRIu64 ",\"last_us\":%" PRIu64 ",\"rate\":%.1f", name, p->unique, p->first_us, p->last_us,
           span_s > 0 ? (double)p->unique / span_s : 0);
    print_quantiles("latency", &p->latency);
    printf("}");
}

static int run_sink(void) {
    enum { BUFFER = 4 << 20 };
    char client_id[64], *bytes = must_alloc(BUFFER + 1);
    uint8_t *acks = must_alloc(BUFFER);
    snprintf(client_id, sizeof client_id, "sink-%d", (int)getpid());
    seen = must_alloc((size_t)opt.count), newest = must_alloc(sizeof *newest * 2 * (size_t)opt.devices);
    if (opt.split < 0) opt.split = opt.count;
    for (int i = 0; i < 2; i++) parts[i].latency.us = must_alloc(sizeof(uint32_t) * (size_t)opt.count);
    int has_session, buffer = 4 << 20, fd = open_session(opt.client_id ? opt.client_id : client_id, !opt.client_id, &has_session);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (!has_session) subscribe(fd); /* the old session's messages may come before a SUBACK would */
    printf("READY\n"), fflush(stdout);
    uint64_t start = now_us(), last_any = start, done = 0;
    size_t held = 0;
    for (struct pollfd ready = {.fd = fd, .events = POLLIN};;) {
        int n = poll(&ready, 1, 20);
        uint64_t now = now_us();
        if (done && now > done + (uint64_t)(opt.linger_s * 1e6)) break;
        if (now > start + (uint64_t)(opt.timeout_s * 1e6) || now > last_any + (uint64_t)(opt.idle_s * 1e6)) break;
        if (n <= 0) continue;
        ssize_t got = read(fd, bytes + held, BUFFER - held);
        if (got <= 0) break;
        size_t acks_size = 0;
        last_any = now = now_us(), held += (size_t)got;
        size_t used = take_packets(bytes, held, acks, &acks_size, now);
        write_all(fd, acks, acks_size);
        memmove(bytes, bytes + used, held -= used);
        if (!done && parts[0].unique + parts[1].unique == opt.count) done = now;
    }
    (void)!write(fd, "\xe0", 2);
    long unique = parts[0].unique + parts[1].unique;
    printf("{\"unique\":%ld,\"missing\":%ld,\"duplicates\":%ld,\"foreign\":%ld,", unique, opt.count - unique, duplicates, foreign);
    printf("\"disorder\":%ld,\"packets\":%ld,\"payload_bytes\":%ld", disorder, packets, payload_bytes);
    print_part("main", parts);
    print_part("live", parts + 1);
    printf("}\n");
    return unique == opt.count ? 0 : 3;
}

int main(int argc, char **argv) {
    const char *role = argc > 1 ? argv[1] : "";
    int is_sink = !strcmp(role, "sink");
    optind = 2;
    for (int o; (o = getopt(argc, argv, "p:n:c:w:d:r:s:b:f:t:S:C:l:i:")) != -1;) switch (o) {
        case 'p': opt.port = atoi(optarg); break;         case 'n': opt.count = atol(optarg); break;
        case 'c': opt.connections = atoi(optarg); break;  case 'w': opt.window = atoi(optarg); break;
        case 'd': opt.devices = atoi(optarg); break;      case 'r': opt.rate = atof(optarg); break;
        case 's': opt.first_seq = atol(optarg); break;    case 'b': opt.bytes = atoi(optarg); break;
        case 'f': opt.topic = optarg; break;              case 't': opt.timeout_s = atof(optarg); break;
        case 'S': opt.split = atol(optarg); break;        case 'C': opt.client_id = optarg; break;
        case 'l': opt.linger_s = atof(optarg); break;     case 'i': opt.idle_s = atof(optarg); break;
        default: return 2;
    }
    if (!opt.topic) opt.topic = is_sink ? "#" : "sensors/d%03d/telemetry";
    if (opt.port <= 0 || opt.count <= 0 || opt.connections <= 0 || opt.window <= 0 || opt.window >= 65535) refuse("see the top of load.c", 0);
    if (opt.devices <= 0 || (!is_sink && opt.devices % opt.connections)) refuse("devices must be a multiple of connections", opt.connections);
    if (opt.bytes > 65536 || strlen(opt.topic) > 100 || (!is_sink && strcmp(role, "send"))) refuse("see the top of load.c", 0);
    signal(SIGPIPE, SIG_IGN);
    return is_sink ? run_sink() : run_send();
}
