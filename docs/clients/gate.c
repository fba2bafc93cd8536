/* A gate controller in C, minimal and safe: gate VERDICTS STATION DECIDE_MS [CONTROL]. README.md explains it.
 * cc -std=c11 -Wall -Wextra -Werror -o gate gate.c -lzmq */

#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

/* ---------------------------------------------------------------------- JSON: the known keys of one object, strictly */

typedef struct { const char *at; size_t size; } text; /* a value as it stands in the message: not terminated */
typedef struct { const char *key; text value; } field;

static const char *blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* Each of these returns where the thing that begins at p ends, or NULL if it is not well formed. */
static const char *string(const char *p, const char *end)
{
    if (p >= end || *p++ != '"')
        return NULL;
    for (; p < end && *p != '"'; p++)
        if ((unsigned char)*p < ' ' || (*p == '\\' && ++p >= end))
            return NULL;
    return p < end ? p + 1 : NULL;
}

static const char *object(const char *p, const char *end, field *fields, size_t count, int depth);

static const char *value(const char *p, const char *end, int depth)
{
    if (p >= end || depth > 16)
        return NULL;
    if (*p == '"')
        return string(p, end);
    if (*p == '{')
        return object(p, end, NULL, 0, depth + 1);
    if (*p == '[') {
        p = blank(p + 1, end);
        if (p < end && *p == ']')
            return p + 1;
        while ((p = value(p, end, depth + 1)) != NULL) {
            p = blank(p, end);
            if (p >= end || (*p != ',' && *p != ']'))
                return NULL;
            if (*p == ']')
                return p + 1;
            p = blank(p + 1, end);
        }
        return NULL;
    }
    const char *begin = p; /* a number, true, false or null */
    while (p < end && *p != '\0' && strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *p) != NULL)
        p++;
    return p > begin ? p : NULL;
}

static const char *object(const char *p, const char *end, field *fields, size_t count, int depth)
{
    if (p >= end || *p != '{')
        return NULL;
    p = blank(p + 1, end);
    if (p < end && *p == '}')
        return p + 1;
    for (;;) {
        const char *key = p, *key_end = string(p, end);
        if (key_end == NULL)
            return NULL;
        p = blank(key_end, end);
        if (p >= end || *p != ':')
            return NULL;
        const char *begin = blank(p + 1, end);
        p = value(begin, end, depth);
        if (p == NULL)
            return NULL;
        for (size_t i = 0; i < count; i++) {
            size_t size = strlen(fields[i].key);
            if ((size_t)(key_end - key) != size + 2 || memcmp(key + 1, fields[i].key, size) != 0)
                continue;
            if (fields[i].value.at != NULL)
                return NULL; /* twice */
            fields[i].value = (text){begin, (size_t)(p - begin)};
        }
        p = blank(p, end);
        if (p >= end || (*p != ',' && *p != '}'))
            return NULL;
        if (*p == '}')
            return p + 1;
        p = blank(p + 1, end);
    }
}

static bool is_utf8(text json)
{
    const unsigned char *p = (const unsigned char *)json.at, *end = p + json.size;
    while (p < end) {
        const unsigned char c = *p++;
        int more = c < 0x80 ? 0 : c < 0xC2 ? -1 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF5 ? 3 : -1;
        if (more < 0 || end - p < more)
            return false;
        if ((c == 0xE0 && *p < 0xA0) || (c == 0xED && *p > 0x9F) || (c == 0xF0 && *p < 0x90) || (c == 0xF4 && *p > 0x8F))
            return false; /* longer than need be, half a pair, or beyond Unicode */
        for (; more > 0; more--)
            if ((*p++ & 0xC0) != 0x80)
                return false;
    }
    return true;
}

/* True if all fields are there, and nothing is behind the object. */
static bool extract(text json, field *fields, size_t count)
{
    if (!is_utf8(json))
        return false;
    const char *end = json.at + json.size, *p = object(blank(json.at, end), end, fields, count, 0);
    if (p == NULL || blank(p, end) != end)
        return false;
    for (size_t i = 0; i < count; i++)
        if (fields[i].value.at == NULL)
            return false;
    return true;
}

static bool is(text value, const char *expected)
{
    return value.size == strlen(expected) && memcmp(value.at, expected, value.size) == 0;
}

static bool is_string(text value)
{
    return value.at[0] == '"';
}

static bool is_name(text value, const char *expected) /* a string without escapes */
{
    return value.size >= 2 && is_string(value) && is((text){value.at + 1, value.size - 2}, expected);
}

static bool whole(text value, int64_t *number) /* not negative, 18 digits at most: it cannot overflow */
{
    *number = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (value.at[i] < '0' || value.at[i] > '9' || i >= 18)
            return false;
        *number = *number * 10 + (value.at[i] - '0');
    }
    return value.size > 0;
}

/* ------------------------------------------------------------------------------------------------------- the gate */

enum { EPOCH_SIZE = 80, EPOCHS = 64 };
static const int64_t SECOND = 1000000000, NEVER = INT64_MAX;

static const char *station;
static int64_t gate_ns;
static bool has_control, may_pass_simulated;

static char epochs[EPOCHS][EPOCH_SIZE]; /* of this run (at `run`) and the runs before, as they stand in the JSON */
static size_t run, runs;
static int64_t last, sent, lease; /* the station's word holds until `lease`, by its own clock */
static int64_t asked, clock_set, ahead;
static bool is_clock_known, is_ready, is_alive;

static int64_t ours(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0)
        abort();
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

/* The station's time, if anything too late; NEVER while it is not known, and then nothing passes. */
static int64_t now(void)
{
    if (!has_control)
        return ours();
    return is_clock_known && ours() - clock_set <= 5 * SECOND ? ours() + ahead : NEVER;
}

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

/* Index of an epoch among those seen, or -1. */
static int find_epoch(text epoch)
{
    for (size_t i = 0; i < (runs < EPOCHS ? runs : EPOCHS); i++)
        if (is(epoch, epochs[i]))
            return (int)i;
    return -1;
}

static void begin_epoch(text epoch, int64_t reached)
{
    if (runs > 0)
        say("reject all new epoch"); /* another run, which knows nothing of the parts on the belt */
    last = runs == 0 ? reached : 0;  /* what went before we came is history */
    run = runs++ % EPOCHS;
    memcpy(epochs[run], epoch.at, epoch.size);
    epochs[run][epoch.size] = '\0';
    sent = lease = asked = 0;
    is_clock_known = is_alive = false;
}

/* Why a part must not pass; an empty text if nothing speaks against it. */
static text doubt(const field *verdict, int64_t captured)
{
    const char *why = "";
    int64_t t = now();
    if (!is_name(verdict[5].value, "good") || !is_name(verdict[6].value, "clear"))
        return verdict[6].value;
    if (!is(verdict[7].value, "false") && !may_pass_simulated)
        why = "simulated";
    else if (t > lease)
        why = "no heartbeat";
    else if (!is_ready)
        why = "not ready";
    else if (t < captured || t - captured > gate_ns)
        why = "late";
    return (text){why, strlen(why)};
}

/* Takes one message. False if it is malformed, and then nothing has changed. */
static bool hear(text kind, text json)
{
    field verdict[] = {{"protocol", {0}}, {"station", {0}}, {"epoch", {0}},  {"seq", {0}},       {"part", {0}},
                       {"verdict", {0}},  {"reason", {0}},  {"simulated", {0}}, {"timing", {0}}};
    field beat[] = {{"protocol", {0}}, {"station", {0}}, {"epoch", {0}}, {"last_seq", {0}},
                    {"sent", {0}},     {"ready", {0}},   {"valid_until", {0}}};
    field change[] = {{"protocol", {0}}, {"station", {0}}, {"epoch", {0}}, {"last_seq", {0}}};
    field times[] = {{"captured", {0}}};
    const bool is_verdict = is(kind, "verdict"), is_beat = is(kind, "heartbeat");
    const field *f = is_verdict ? verdict : is_beat ? beat : change;
    int64_t reached, captured = 0, moment = 0, until = 0;

    if (is_verdict) {
        if (!extract(json, verdict, 9) || !extract(verdict[8].value, times, 1) || !whole(times[0].value, &captured))
            return false;
        if (!is_string(verdict[4].value) || !is_string(verdict[6].value))
            return false;
    } else if (is_beat) {
        if (!extract(json, beat, 7) || !whole(beat[4].value, &moment) || !whole(beat[6].value, &until))
            return false;
    } else if (!is(kind, "state") || !extract(json, change, 4)) {
        return false;
    }
    if (!is_name(f[0].value, "evp1") || !is_name(f[1].value, station) || !whole(f[3].value, &reached))
        return false;
    if (!is_string(f[2].value) || f[2].value.size >= EPOCH_SIZE || (is_verdict && reached < 1))
        return false;

    reached -= is_verdict; /* so many verdicts came before this message */
    int known = find_epoch(f[2].value);
    if (known >= 0 && (size_t)known != run) {
        if (is_beat && now() < until) {
            say("reject all two stations of one name");
            exit(1);
        }
        return true;
    }
    if (known < 0)
        begin_epoch(f[2].value, reached);
    if (reached > last)
        printf("reject %" PRId64 "..%" PRId64 " - gap\n", last + 1, reached);
    if (is_verdict && reached >= last) { /* else it came before, or its place was a gap */
        text part = verdict[4].value, why = doubt(verdict, captured);
        if (why.size > 0)
            printf("reject %" PRId64 " %.*s %.*s\n", reached + 1, (int)part.size, part.at, (int)why.size, why.at);
        else
            printf("pass %" PRId64 " %.*s\n", reached + 1, (int)part.size, part.at);
    }
    fflush(stdout);
    if (is_beat && moment > sent) {
        sent = moment;
        lease = until;
        is_ready = is(beat[5].value, "true");
    }
    if (reached + is_verdict > last)
        last = reached + is_verdict;
    return true;
}

/* The station's clock was at `now` some time after we asked: it is no further ahead than if that took no time. */
static bool hear_pong(text json)
{
    field pong[] = {{"type", {0}}, {"nonce", {0}}, {"epoch", {0}}, {"now", {0}}};
    int64_t nonce, theirs;
    if (!extract(json, pong, 4) || !is_name(pong[0].value, "pong") || !whole(pong[1].value, &nonce) ||
        !whole(pong[3].value, &theirs))
        return false;
    if (runs > 0 && nonce == asked / 1000 && is(pong[2].value, epochs[run])) {
        ahead = theirs - asked;
        clock_set = asked;
        is_clock_known = true;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------- the sockets */

static void must(bool done, const char *what)
{
    if (!done) {
        fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(2);
    }
}

/* A socket, encrypted if there are keys. */
static void *connected(void *context, int kind, const char *endpoint)
{
    const int64_t largest = 65536;
    const int interval = 1000, timeout = 3000, linger = 0; /* a connection that died without a word is made again */
    void *socket = zmq_socket(context, kind);
    must(socket != NULL, "socket");
    must(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) == 0, "largest message");
    must(zmq_setsockopt(socket, ZMQ_HEARTBEAT_IVL, &interval, sizeof interval) == 0, "heartbeat");
    must(zmq_setsockopt(socket, ZMQ_HEARTBEAT_TIMEOUT, &timeout, sizeof timeout) == 0, "heartbeat");
    must(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0, "linger");
    if (getenv("EDGE_SERVER_KEY") != NULL) {
        const char *names[] = {"EDGE_SERVER_KEY", "EDGE_PUBLIC_KEY", "EDGE_SECRET_KEY"};
        const int options[] = {ZMQ_CURVE_SERVERKEY, ZMQ_CURVE_PUBLICKEY, ZMQ_CURVE_SECRETKEY};
        for (int i = 0; i < 3; i++) {
            const char *key = getenv(names[i]);
            must(key != NULL && strlen(key) == 40 && zmq_setsockopt(socket, options[i], key, 41) == 0, names[i]);
        }
    }
    must(zmq_connect(socket, endpoint) == 0, endpoint);
    return socket;
}

/* Takes what has come: `frames` frames make a message. */
static void receive(void *socket, int frames)
{
    for (;;) {
        zmq_msg_t parts[2];
        int count = 0, more = 1;
        bool is_whole = true;
        while (more) {
            zmq_msg_t frame;
            zmq_msg_init(&frame);
            if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
                zmq_msg_close(&frame);
                return; /* nothing more: frames of one message come together */
            }
            more = zmq_msg_more(&frame);
            if (count < 2) {
                zmq_msg_init(&parts[count]);
                zmq_msg_move(&parts[count++], &frame);
            } else {
                is_whole = false;
            }
            zmq_msg_close(&frame);
        }
        text body = {zmq_msg_data(&parts[count - 1]), zmq_msg_size(&parts[count - 1])};
        if (is_whole && count == frames && frames == 2) {
            const char *head = zmq_msg_data(&parts[0]);
            size_t before = strlen("evp1/") + strlen(station) + 1, size = zmq_msg_size(&parts[0]);
            bool is_topic = size > before && head[size - 1] == '/';
            is_whole = is_topic && hear((text){head + before, size - before - 1}, body);
        } else {
            is_whole = is_whole && count == frames && hear_pong(body);
        }
        static bool has_complained;
        if (!is_whole && !has_complained) { /* once: nobody may be reading */
            has_complained = true;
            fputs("ignored what is no message, and will not say so again\n", stderr);
        }
        while (count > 0)
            zmq_msg_close(&parts[--count]);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fputs("usage: gate VERDICTS STATION DECIDE_MS [CONTROL]\n", stderr);
        return 2;
    }
    char prefix[128];
    station = argv[2];
    const bool is_number = strlen(argv[3]) <= 5 && strspn(argv[3], "0123456789") == strlen(argv[3]);
    long decide_ms = is_number ? strtol(argv[3], NULL, 10) : 0;
    if (decide_ms < 1 || decide_ms > 60000) {
        fputs("DECIDE_MS is a whole number, 1 to 60000\n", stderr);
        return 2;
    }
    gate_ns = (int64_t)decide_ms * 1000000;
    has_control = argc == 5;
    may_pass_simulated = getenv("EDGE_SIMULATED") != NULL && strcmp(getenv("EDGE_SIMULATED"), "1") == 0;
    int size = snprintf(prefix, sizeof prefix, "evp1/%s/", station);
    must(size > 0 && (size_t)size < sizeof prefix, "the station's name");

    void *context = zmq_ctx_new();
    void *verdicts = connected(context, ZMQ_SUB, argv[1]);
    must(zmq_setsockopt(verdicts, ZMQ_SUBSCRIBE, prefix, (size_t)size) == 0, "subscribe");
    void *control = has_control ? connected(context, ZMQ_DEALER, argv[4]) : NULL;
    for (;;) {
        zmq_pollitem_t items[] = {{verdicts, 0, ZMQ_POLLIN, 0}, {control, 0, ZMQ_POLLIN, 0}};
        zmq_poll(items, has_control ? 2 : 1, 50);
        if (has_control)
            receive(control, 1);
        receive(verdicts, 2);
        bool was_alive = is_alive;
        is_alive = now() <= lease;
        if (was_alive && !is_alive)
            say("reject all heartbeat lost");
        if (has_control && ours() - asked > SECOND) {
            char ping[64];
            asked = ours();
            int length = snprintf(ping, sizeof ping, "{\"type\":\"ping\",\"nonce\":%" PRId64 "}", asked / 1000);
            zmq_send(control, ping, (size_t)length, ZMQ_DONTWAIT);
        }
    }
}
